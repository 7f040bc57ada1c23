import { requestText } from '../lib/cluster/http.ts';
import { ensureRunning } from '../lib/daemons/supervisor.ts';
import { check } from '../lib/engine/check.ts';
import { flag } from '../lib/engine/daemon.ts';
import type { Step } from '../lib/engine/step.ts';
import { certFile, keyFile, kubeconfigFile, paths } from '../lib/host/paths.ts';
import { webPods } from './demo.ts';
import { lines, observe, says } from './observe.ts';

const kubeconfig = kubeconfigFile('kube-scheduler');

const daemon = () => ({
  name: 'kube-scheduler',
  description: 'kube-scheduler: chooses a Node for each Pod',
  binary: `${paths.bin}/kube-scheduler`,
  after: ['kube-apiserver'],
  restartOn: [kubeconfig, certFile('kube-scheduler-server')],
  flags: [
    flag('kubeconfig', kubeconfig, 'how it finds the API server, and who it is: system:kube-scheduler'),
    flag('authentication-kubeconfig', kubeconfig, 'by which it asks who is knocking at its own port'),
    flag('authorization-kubeconfig', kubeconfig, 'by which it asks what that visitor may do'),
    flag('bind-address', '127.0.0.1', 'its port is for this machine only'),
    flag('tls-cert-file', certFile('kube-scheduler-server'), 'what it shows to visitors'),
    flag('tls-private-key-file', keyFile('kube-scheduler-server'), 'the private key of that certificate'),
    flag('client-ca-file', certFile('ca'), 'whose certificates name a visitor'),
    flag('requestheader-client-ca-file', certFile('front-proxy-ca'), 'who vouches for a proxy that speaks for users'),
    flag('leader-elect', 'false', 'there is no second one to elect against: it works at once after a crash'),
    flag('profiling', 'false', "its inner workings are nobody's business"),
  ],
});

export const kubeScheduler: Step = {
  id: 'kube-scheduler',
  title: 'kube-scheduler',
  daemon,

  async apply({ lab, host }) {
    await ensureRunning({ lab, host }, daemon());
  },

  checks: [
    check('answers https://127.0.0.1:10259/readyz', async () => {
      await requestText('https://127.0.0.1:10259/readyz', { credentials: { ca: certFile('ca') } });
    }),
  ],

  observations: () => [
    observe(
      {
        en: 'now somebody has looked for a Node, and found none',
        fr: 'maintenant quelqu’un a cherché un Node, et n’en a trouvé aucun',
      },
      'kubectl get events --field-selector reason=FailedScheduling',
      says('no nodes available to schedule pods'),
    ),
    observe({ en: 'the Pods are still Pending', fr: 'les Pods sont toujours Pending' }, webPods, lines(2, / Pending /)),
  ],
};
