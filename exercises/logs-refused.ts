import { certFile, paths } from '../lib/host/paths.ts';
import type { Exercise } from './exercise.ts';
import { wrongPart } from './fault.ts';
import { podIsReady, withNewPod } from './look.ts';

const file = `${paths.config}/kubelet.yaml`;
const right = `clientCAFile: ${certFile('ca')}`;
const wrong = `clientCAFile: ${certFile('front-proxy-ca')}`;

/** The kubelet trusts another CA than the one that has signed kube-apiserver's certificate. */
export const logsRefused: Exercise = {
  id: 'logs-refused',
  title: { en: 'kubectl logs is refused', fr: 'kubectl logs est refusé' },
  topics: ['kubelet', 'certificates', 'apiserver'],
  level: 3,
  minutes: 12,
  ticket: {
    en: 'All is green: Nodes, Pods, Services. But kubectl logs and kubectl exec say "You must be logged in to the server", though kubectl get works.',
    fr: 'Tout est vert : Nodes, Pods, Services. Mais kubectl logs et kubectl exec disent « You must be logged in to the server », alors que kubectl get fonctionne.',
  },
  hints: async () => [
    {
      en: 'For logs and exec the API server is a client itself. Whose server does it ask, and as whom?',
      fr: 'Pour logs et exec, le serveur d’API est lui-même un client. Quel serveur interroge-t-il, et sous quelle identité ?',
    },
    {
      en: 'The kubelet answers on port 10250. Ask it with the certificate of --kubelet-client-certificate: curl --cert, --key, /pods.',
      fr: 'Le kubelet répond sur le port 10250. Interrogez-le avec le certificat de --kubelet-client-certificate : curl --cert, --key, /pods.',
    },
    {
      en: `clientCAFile in ${file} must be the CA that has signed that certificate.`,
      fr: `clientCAFile dans ${file} doit être la CA qui a signé ce certificat.`,
    },
  ],
  solved: [
    {
      phrase: { en: 'the log of a new Pod can be read', fr: 'le journal d’un nouveau Pod est lisible' },
      probe: (context, signal) =>
        withNewPod(
          context,
          async (pod, api) => {
            await podIsReady(pod);
            await api.text(`/api/v1/namespaces/default/pods/${pod.metadata.name}/log`);
          },
          signal,
        ),
    },
  ],
  ...wrongPart({ component: 'kubelet', file, right, wrong }),
  explanation: {
    en: 'The kubelet could not verify the certificate that kube-apiserver shows it, and took it for nobody. All else goes the other way, from the kubelet to the API server, so all looked healthy. It happens when a CA is replaced on one side only.',
    fr: 'Le kubelet ne pouvait pas vérifier le certificat que lui présente kube-apiserver, et le prenait pour un inconnu. Tout le reste va dans l’autre sens, du kubelet vers le serveur d’API : tout semblait sain. Cela arrive quand une CA n’est remplacée que d’un côté.',
  },
};
