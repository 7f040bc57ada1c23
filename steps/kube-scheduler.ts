import { requestText } from '../lib/cluster/http.ts';
import { ensureRunning } from '../lib/daemons/supervisor.ts';
import { check } from '../lib/engine/check.ts';
import { flag, underOwnUser } from '../lib/engine/daemon.ts';
import type { Step } from '../lib/engine/step.ts';
import { certFile, keyFile, kubeconfigFile, paths } from '../lib/host/paths.ts';
import { webPods } from './demo.ts';
import { store } from './etcd.ts';
import { fails, lines, notYet, observe, says } from './observe.ts';
import { tell } from './tasks.ts';

const kubeconfig = kubeconfigFile('kube-scheduler');

const daemon = () =>
  underOwnUser({
    name: 'kube-scheduler',
    description: 'kube-scheduler: chooses a Node for each Pod',
    binary: `${paths.bin}/kube-scheduler`,
    after: ['kube-apiserver'],
    reads: [store],
    flags: [
      flag('kubeconfig', kubeconfig),
      flag('authentication-kubeconfig', kubeconfig),
      flag('authorization-kubeconfig', kubeconfig),
      flag('bind-address', '127.0.0.1'),
      flag('tls-cert-file', certFile('kube-scheduler-server')),
      flag('tls-private-key-file', keyFile('kube-scheduler-server')),
      flag('tls-min-version', 'VersionTLS13'),
      flag('client-ca-file', certFile('ca')),
      flag('requestheader-client-ca-file', certFile('front-proxy-ca')),
      flag('leader-elect', 'false'),
      flag('profiling', 'false'),
    ],
  });

export const kubeScheduler: Step = {
  id: 'kube-scheduler',
  title: 'kube-scheduler',
  needs: { programs: ['kube-scheduler'], identities: ['kube-scheduler'] },
  ports: [{ number: 10259, at: 'loopback' }],
  account: 'kube-scheduler',
  daemon,

  async apply({ lab, host }) {
    await ensureRunning({ lab, host }, daemon());
  },

  byHand: {
    // An intermediate CA that was given is trusted itself, not the one above it.
    proofs: ({ ca }) => [
      `openssl s_client -connect 127.0.0.1:10259 ${ca?.chain ? '-partial_chain ' : ''}-CAfile ${certFile('ca')} -verify_return_error -brief </dev/null`,
    ],
  },

  checks: [
    check('answers https://127.0.0.1:10259/readyz', async () => {
      await requestText('https://127.0.0.1:10259/readyz', { credentials: { ca: certFile('ca') } });
    }),
  ],

  teaching: () => ({
    before: [fails(`${webPods} -o wide`, lines(2, / Pending .* <none> /))],
    guideFlags: ['kubeconfig'],
    started: /Serving securely on/,
    tasks: [
      tell(
        'event-reason',
        {
          en: 'Which reason has the event of a Pod that waits?',
          fr: 'Quelle raison (reason) donne l’événement d’un Pod qui attend ?',
        },
        "kubectl get events --field-selector involvedObject.kind=Pod -o jsonpath='{.items[*].reason}'",
      ),
    ],
  }),

  observations: () => [
    observe(
      {
        en: 'now somebody has looked for a Node, and found none',
        fr: 'maintenant quelqu’un a cherché un Node, et n’en a trouvé aucun',
      },
      'kubectl get events --field-selector reason=FailedScheduling',
      says('no nodes available to schedule pods'),
    ),
    notYet(
      observe(
        { en: 'the Pods are still Pending', fr: 'les Pods sont toujours Pending' },
        webPods,
        lines(2, / Pending /),
      ),
    ),
  ],
};
