import { stringify } from 'yaml';
import { requestText } from '../lib/cluster/http.ts';
import { rootSandbox } from '../lib/daemons/sandbox.ts';
import { ensureRunning, requireOwnPort } from '../lib/daemons/supervisor.ts';
import { check } from '../lib/engine/check.ts';
import { flag } from '../lib/engine/daemon.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Step } from '../lib/engine/step.ts';
import { requireAccess } from '../lib/host/files.ts';
import { kubeconfigFile, paths } from '../lib/host/paths.ts';
import { run } from '../lib/host/run.ts';
import { demoFile, services, writeDemo } from './demo.ts';
import { store } from './etcd.ts';
import { act, all, fails, lines, notYet, observe, says, saysNot } from './observe.ts';
import { tell } from './tasks.ts';

const configFile = `${paths.config}/kube-proxy.yaml`;

const daemon = (lab: Lab) => ({
  name: 'kube-proxy',
  description: 'kube-proxy: makes the addresses of Services lead to Pods',
  binary: `${paths.bin}/kube-proxy`,
  after: ['kube-apiserver'],
  reads: [store],
  // It writes rules as root, below /run the lock of iptables, and below /proc/sys/net limits of connections.
  service: rootSandbox(['CAP_NET_ADMIN', 'CAP_NET_RAW'], '/run'),
  flags: [flag('config', configFile)],
  config: configuration(lab),
});

export const configuration = ({ node, podCIDR, machine }: Lab) => ({
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  clientConnection: { kubeconfig: kubeconfigFile('kube-proxy') },
  hostnameOverride: node.name,
  mode: 'iptables', // the chains that the guide reads
  clusterCIDR: podCIDR,
  healthzBindAddress: '127.0.0.1:10256',
  metricsBindAddress: '127.0.0.1:10249',
  // These pages ask nobody who he is; what else is on that port cannot be turned off (kubernetes/cmd/kube-proxy/app/server.go).
  featureGates: { ComponentFlagz: false, ComponentStatusz: false },
  // Inside a network namespace the kernel's conntrack limits are not writable.
  ...(!machine.canSetConntrackLimits && { conntrack: { maxPerCore: 0, min: 0 } }),
  iptables: { minSyncPeriod: '100ms', syncPeriod: '30s' },
});

const service = { manifest: 'web-service', collection: services };

/**
 * Chains of kube-proxy by name, of every mode and of older versions too (kubernetes/pkg/proxy/iptables and ipvs). Those
 * of others may begin with KUBE- as well, such as kube-router's.
 */
const chainNames = new RegExp(
  `^KUBE-(${[
    ...['SERVICES', 'EXTERNAL-SERVICES', 'NODEPORTS', 'NODE-PORT', 'POSTROUTING', 'FORWARD', 'LOAD-BALANCER'],
    ...['MARK-MASQ', 'MARK-DROP', 'PROXY-CANARY', 'PROXY-FIREWALL', 'SOURCE-RANGES-FIREWALL'],
    ...['IPVS-FILTER', 'IPVS-OUT-FILTER', '(SVC|SVL|SEP|EXT|FW|XLB)-[A-Z2-7]{16}'],
  ].join('|')})$`,
);

export const kubeProxy: Step = {
  id: 'kube-proxy',
  leaves: {
    links: [/^kube-ipvs0$/],
    chains: [chainNames],
    nftTables: [/^kube-proxy$/], // made by a kube-proxy in mode nftables; one in another mode deletes it at its start
    ipsets: [/^KUBE-/],
  },
  title: 'kube-proxy',
  needs: { programs: ['kube-proxy'], identities: ['kube-proxy'] },
  ports: [
    { number: 10249, at: 'loopback' },
    { number: 10256, at: 'loopback' },
  ],
  daemon,

  async apply({ lab, host }) {
    await host.writeFile(configFile, stringify(configuration(lab)), 0o600);
    await ensureRunning({ lab, host }, daemon(lab));
  },

  byHand: { proofs: () => ["sh -c 'iptables -t nat -S KUBE-SERVICES | grep default/kubernetes'"] },

  checks: [
    check('only root can read its configuration', () => requireAccess(configFile, 0o600)),
    check('answers http://127.0.0.1:10256/healthz', async ({ lab }) => {
      await requestText('http://127.0.0.1:10256/healthz');
      await requireOwnPort(10256, daemon(lab));
    }),
    check('has written the chain of the Service `kubernetes`', async (_, signal) => {
      const { stdout } = await run('iptables', ['-w', '5', '-t', 'nat', '-S', 'KUBE-SERVICES'], { signal });
      if (!stdout.includes('default/kubernetes:https'))
        throw new Error('KUBE-SERVICES does not list default/kubernetes');
    }),
  ],

  demo: service,
  teaching: () => ({
    before: [fails('iptables-save -t nat | grep -c KUBE-SERVICES', lines(1, /^0$/))],
    guideFlags: ['kubeconfig'],
    started: /Using iptables Proxier|Starting serviceCIDR config controller|Caches are synced/,
    tasks: [
      tell(
        'service-address',
        { en: 'Which address has the Service web?', fr: 'Quelle adresse a le Service web ?' },
        "kubectl get service web -o jsonpath='{.spec.clusterIP}'",
      ),
    ],
  }),

  observations: () => [
    act(
      { en: 'a Service gets an address at once', fr: 'un Service reçoit aussitôt une adresse' },
      `kubectl apply -f ${demoFile(service)} && kubectl get service web`,
      says('ClusterIP'),
      writeDemo(service),
    ),
    notYet(
      observe(
        {
          en: 'there is nobody behind it: its EndpointSlice is empty',
          fr: 'il n’y a personne derrière : son EndpointSlice est vide',
        },
        'kubectl get endpointslices -l kubernetes.io/service-name=web',
        says('<unset>'),
      ),
    ),
    notYet(
      observe(
        {
          en: 'so kube-proxy has one rule for it, which refuses',
          fr: 'kube-proxy n’a donc qu’une règle pour lui, qui refuse',
        },
        "iptables-save | grep 'default/web '",
        all(lines(1, /default\/web has no endpoints.* -j REJECT/), saysNot('KUBE-SVC-')),
        { stays: true },
      ),
    ),
  ],
};
