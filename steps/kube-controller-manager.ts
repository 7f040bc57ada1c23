import { apiOf } from '../lib/cluster/api.ts';
import { requestText } from '../lib/cluster/http.ts';
import { ensureRunning } from '../lib/daemons/supervisor.ts';
import { check } from '../lib/engine/check.ts';
import { flag } from '../lib/engine/daemon.ts';
import type { Step } from '../lib/engine/step.ts';
import { certFile, keyFile, kubeconfigFile, paths } from '../lib/host/paths.ts';
import { webPods } from './demo.ts';
import { all, lines, observe, says } from './observe.ts';

const kubeconfig = kubeconfigFile('kube-controller-manager');

const daemon = () => ({
  name: 'kube-controller-manager',
  description: 'kube-controller-manager: turns what is asked for into objects',
  binary: `${paths.bin}/kube-controller-manager`,
  after: ['kube-apiserver'],
  restartOn: [
    kubeconfig,
    certFile('ca'),
    keyFile('ca'),
    keyFile('service-account'),
    certFile('kube-controller-manager-server'),
  ],
  flags: [
    flag('kubeconfig', kubeconfig, 'how it finds the API server, and who it is: system:kube-controller-manager'),
    flag('authentication-kubeconfig', kubeconfig, 'by which it asks who is knocking at its own port'),
    flag('authorization-kubeconfig', kubeconfig, 'by which it asks what that visitor may do'),
    flag('bind-address', '127.0.0.1', 'its port is for this machine only'),
    flag('tls-cert-file', certFile('kube-controller-manager-server'), 'what it shows to visitors'),
    flag('tls-private-key-file', keyFile('kube-controller-manager-server'), 'the private key of that certificate'),
    flag('client-ca-file', certFile('ca'), 'whose certificates name a visitor'),
    flag('requestheader-client-ca-file', certFile('front-proxy-ca'), 'who vouches for a proxy that speaks for users'),
    flag('cluster-name', 'hardway', 'the name of this cluster in what it creates'),
    flag('cluster-signing-cert-file', certFile('ca'), 'the CA with which it signs CertificateSigningRequests'),
    flag('cluster-signing-key-file', keyFile('ca'), 'the private key of that CA'),
    flag('root-ca-file', certFile('ca'), 'the CA that every Pod is given to know the API server by'),
    flag('service-account-private-key-file', keyFile('service-account'), 'what tokens are signed with'),
    flag('use-service-account-credentials', 'true', 'each controller acts with a ServiceAccount and rights of its own'),
    flag(
      'controllers',
      '*,bootstrapsigner,tokencleaner',
      'all that are on by default, and two for the tokens that join a node',
    ),
    flag(
      'kube-api-qps',
      '200',
      'forty controllers ask for their credentials at the start; the default of 20 makes them queue for 5 s',
    ),
    flag('kube-api-burst', '400', 'as many at once'),
    flag('leader-elect', 'false', 'there is no second one to elect against: it works at once after a crash'),
    flag('profiling', 'false', "its inner workings are nobody's business"),
  ],
});

export const kubeControllerManager: Step = {
  id: 'kube-controller-manager',
  title: 'kube-controller-manager',
  daemon,

  async apply({ lab, host }) {
    await ensureRunning({ lab, host }, daemon());
  },

  checks: [
    check('answers https://127.0.0.1:10257/healthz', async () => {
      await requestText('https://127.0.0.1:10257/healthz', { credentials: { ca: certFile('ca') } });
    }),
    check('has made the default ServiceAccount', async (context) => {
      await (await apiOf(context)).get('/api/v1/namespaces/default/serviceaccounts/default');
    }),
  ],

  observations: () => [
    observe(
      {
        en: 'the Deployment has its ReplicaSet, and that its two Pods',
        fr: 'le Deployment a son ReplicaSet, et celui-ci ses deux Pods',
      },
      'kubectl get replicasets,pods',
      all(lines(1, /^replicaset\.apps\/web-/), lines(2, /^pod\/web-/)),
    ),
    observe(
      {
        en: 'they stay Pending, without an event: nobody chooses a Node for them',
        fr: 'ils restent Pending, sans événement : personne ne leur choisit un Node',
      },
      `${webPods}; kubectl get events --field-selector involvedObject.kind=Pod`,
      all(lines(2, /^web-.* Pending /), says('No resources found')),
      { stays: true },
    ),
  ],
};
