import { apiOf } from '../lib/cluster/api.ts';
import { requestText } from '../lib/cluster/http.ts';
import { ensureRunning } from '../lib/daemons/supervisor.ts';
import { check } from '../lib/engine/check.ts';
import { flag, underOwnUser } from '../lib/engine/daemon.ts';
import type { Step } from '../lib/engine/step.ts';
import { readIfThere, readText, requireAccess } from '../lib/host/files.ts';
import { certFile, keyFile, kubeconfigFile, paths } from '../lib/host/paths.ts';
import { firstBlock } from '../lib/pki/pem.ts';
import { kubectl } from './by-hand.ts';
import { webPods } from './demo.ts';
import { store } from './etcd.ts';
import { all, fails, lines, notYet, observe, says } from './observe.ts';
import { tell } from './tasks.ts';

const kubeconfig = kubeconfigFile('kube-controller-manager');

/**
 * The CA that signs the certificates of the Certificates API. A file of its own: kube-controller-manager does not start
 * with more than one certificate in it (pkg/controller/certificates/signer/ca_provider.go), and while a CA is being
 * rotated its own file has two.
 */
const signing = `${paths.config}/cluster-signing-ca.pem`;

/** Returns the CA's certificate, without others that are trusted as well. */
const signer = async (): Promise<string> => firstBlock(await readText(certFile('ca')));

const daemon = () =>
  underOwnUser({
    name: 'kube-controller-manager',
    description: 'kube-controller-manager: turns what is asked for into objects',
    binary: `${paths.bin}/kube-controller-manager`,
    after: ['kube-apiserver'],
    reads: [store],
    flags: [
      flag('kubeconfig', kubeconfig),
      flag('authentication-kubeconfig', kubeconfig),
      flag('authorization-kubeconfig', kubeconfig),
      flag('bind-address', '127.0.0.1'),
      flag('tls-cert-file', certFile('kube-controller-manager-server')),
      flag('tls-private-key-file', keyFile('kube-controller-manager-server')),
      flag('tls-min-version', 'VersionTLS13'),
      flag('client-ca-file', certFile('ca')),
      flag('requestheader-client-ca-file', certFile('front-proxy-ca')),
      flag('cluster-name', 'hardway'),
      flag('cluster-signing-cert-file', signing),
      flag('cluster-signing-key-file', keyFile('ca')),
      flag('root-ca-file', certFile('ca')),
      flag('service-account-private-key-file', keyFile('service-account')),
      flag('use-service-account-credentials', 'true'),
      flag('controllers', '*,bootstrapsigner,tokencleaner'),
      flag('terminated-pod-gc-threshold', '100'),
      flag('kube-api-qps', '200'),
      flag('kube-api-burst', '400'),
      flag('leader-elect', 'false'),
      flag('profiling', 'false'),
    ],
  });

export const kubeControllerManager: Step = {
  id: 'kube-controller-manager',
  title: 'kube-controller-manager',
  needs: { programs: ['kube-controller-manager'], identities: ['kube-controller-manager'] },
  ports: [{ number: 10257, at: 'loopback' }],
  account: 'kube-controller-manager',
  daemon,

  async apply({ lab, host }) {
    await host.writeFile(signing, host.dryRun ? '' : await signer(), 0o600);
    await ensureRunning({ lab, host }, daemon());
  },

  byHand: {
    file: async (path) =>
      path === signing ? [`openssl x509 -in ${certFile('ca')} -out ${signing}`, `chmod 600 ${signing}`] : undefined,
    proofs: () => [`${kubectl} get serviceaccount default`],
  },

  checks: [
    check('signs certificates with the CA in use', async () => {
      if ((await readIfThere(signing)) !== (await signer()))
        throw new Error(`${signing} is missing or holds another CA than ${certFile('ca')}`);
      await requireAccess(signing, 0o600);
    }),
    check('answers https://127.0.0.1:10257/healthz', async () => {
      await requestText('https://127.0.0.1:10257/healthz', { credentials: { ca: certFile('ca') } });
    }),
    check('has made the default ServiceAccount', async (context) => {
      await (await apiOf(context)).get('/api/v1/namespaces/default/serviceaccounts/default');
    }),
  ],

  teaching: () => ({
    before: [
      fails('kubectl get deployments', lines(1, /^web +0\/2 /)),
      fails('kubectl get serviceaccounts', says('No resources found')),
    ],
    guideFlags: [
      'kubeconfig',
      'cluster-signing-cert-file',
      'cluster-signing-key-file',
      'service-account-private-key-file',
      'use-service-account-credentials',
      'root-ca-file',
    ],
    started: /Started controller/,
    tasks: [
      tell(
        'owner-kind',
        { en: 'Of what kind is the owner of the Pods?', fr: 'De quelle sorte (kind) est le propriétaire des Pods ?' },
        `${webPods} -o jsonpath='{.items[0].metadata.ownerReferences[0].kind}'`,
      ),
      tell(
        'owner-of-owner',
        { en: 'And the owner of that one?', fr: 'Et le propriétaire de celui-ci ?' },
        "kubectl get replicasets -l app=web -o jsonpath='{.items[0].metadata.ownerReferences[0].kind}'",
      ),
    ],
  }),

  observations: () => [
    observe(
      {
        en: 'the Deployment has its ReplicaSet, and that its two Pods',
        fr: 'le Deployment a son ReplicaSet, et celui-ci ses deux Pods',
      },
      'kubectl get replicasets,pods',
      all(lines(1, /^replicaset\.apps\/web-/), lines(2, /^pod\/web-/)),
    ),
    notYet(
      observe(
        {
          en: 'they stay Pending, without an event: nobody chooses a Node for them',
          fr: 'ils restent Pending, sans événement : personne ne leur choisit un Node',
        },
        `${webPods}; kubectl get events --field-selector involvedObject.kind=Pod`,
        all(lines(2, /^web-.* Pending /), says('No resources found')),
        { stays: true },
      ),
    ),
  ],
};
