import { apiOf } from '../lib/cluster/api.ts';
import { reasonOf } from '../lib/engine/errors.ts';
import { certFile } from '../lib/host/paths.ts';
import type { Exercise } from './exercise.ts';
import { wrongPart } from './fault.ts';
import { aNewPodRuns } from './look.ts';

const right = `--etcd-cafile=${certFile('etcd-ca')}`;
const wrong = `--etcd-cafile=${certFile('ca')}`;

/** kube-apiserver trusts another CA than the one that has signed etcd's certificate. */
export const apiGone: Exercise = {
  id: 'api-gone',
  title: { en: 'kubectl gets no answer', fr: 'kubectl n’a pas de réponse' },
  topics: ['apiserver', 'etcd', 'certificates'],
  level: 2,
  minutes: 10,
  ticket: {
    en: 'kubectl says that the connection was refused, or does not answer. The machine is up, and our application in the Pods still works.',
    fr: 'kubectl dit que la connexion est refusée, ou ne répond pas. La machine est là, et notre application dans les Pods fonctionne encore.',
  },
  hints: async () => [
    {
      en: 'Without kubectl there are systemctl, journalctl and ss. Which components run, and which one starts again and again?',
      fr: 'Sans kubectl il reste systemctl, journalctl et ss. Quels composants tournent, et lequel redémarre sans cesse ?',
    },
    {
      en: 'Read journalctl -u kube-apiserver: with whom does it fail to speak, and what does x509 say?',
      fr: 'Lisez journalctl -u kube-apiserver : avec qui n’arrive-t-il pas à parler, et que dit x509 ?',
    },
    {
      en: `Who has signed ${certFile('etcd-server')}? openssl x509 -noout -issuer -in it, and compare --etcd-cafile.`,
      fr: `Qui a signé ${certFile('etcd-server')} ? openssl x509 -noout -issuer -in ce fichier, et comparez --etcd-cafile.`,
    },
  ],
  solved: [
    {
      phrase: { en: 'the API server is ready', fr: 'le serveur d’API est prêt' },
      async probe(context) {
        await (await apiOf(context)).text('/readyz').catch((error: unknown) => {
          throw new Error(`/readyz: ${reasonOf(error).replace('connect ECONNREFUSED', 'nobody listens on')}`);
        });
      },
    },
    aNewPodRuns,
  ],
  ...wrongPart({ component: 'kube-apiserver', right, wrong }),
  explanation: {
    en: 'etcd has a CA of its own, and kube-apiserver was told to trust another one: it could not read a single object, and ended. Controllers, scheduler and kubelet wait meanwhile, and what runs goes on. It happens when files of two CAs have names that are alike.',
    fr: 'etcd a sa propre CA, et kube-apiserver devait en croire une autre : il ne pouvait lire aucun objet, et s’arrêtait. Les contrôleurs, le scheduler et le kubelet attendent, et ce qui tourne continue. Cela arrive quand les fichiers de deux CA ont des noms proches.',
  },
};
