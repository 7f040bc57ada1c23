import { stringify } from 'yaml';
import { apiOf, type KubeObject } from '../lib/cluster/api.ts';
import { requestText } from '../lib/cluster/http.ts';
import { applyObjects, deleteObjects, nodeConditions } from '../lib/cluster/objects.ts';
import { ensureRunning, requireOwnPort } from '../lib/daemons/supervisor.ts';
import { check, deferredCheck } from '../lib/engine/check.ts';
import { flag } from '../lib/engine/daemon.ts';
import type { Lab, PkiProfile } from '../lib/engine/lab.ts';
import type { Context, Observation, Step } from '../lib/engine/step.ts';
import { requireAccess } from '../lib/host/files.ts';
import { certFile, keyFile, kubeconfigFile, paths, system } from '../lib/host/paths.ts';
import { kubectl } from './by-hand.ts';
import { store } from './etcd.ts';
import { fails, lines, notYet, observe, says } from './observe.ts';
import { tell } from './tasks.ts';

const configFile = `${paths.config}/kubelet.yaml`;
const resolvConf = `${paths.config}/resolv.conf`;

const daemon = (lab: Lab) => ({
  name: 'kubelet',
  description: 'kubelet: registers this machine as a Node and runs its Pods',
  binary: `${paths.bin}/kubelet`,
  after: ['containerd', 'kube-apiserver'],
  // It asks for the tokens of Pods once, and again when the key that signs them is another one.
  reads: [store, certFile('service-account')],
  flags: [
    flag('kubeconfig', kubeconfigFile('kubelet')),
    flag('config', configFile),
    flag('hostname-override', lab.node.name),
    flag('node-ip', lab.node.address),
  ],
  config: configuration(lab),
  // Lets Pods live on when the kubelet restarts.
  service: [
    'KillMode=process',
    'Delegate=yes',
    `Environment=PATH=${paths.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  ],
});

export const configuration = ({ node, machine, dnsAddress, domain }: Lab) => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  // Accepts only users whom the API server authenticates and authorizes, never anonymous ones.
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: true },
    x509: { clientCAFile: certFile('ca') },
  },
  authorization: { mode: 'Webhook' },
  address: node.address,
  readOnlyPort: 0,
  healthzBindAddress: '127.0.0.1',
  tlsCertFile: certFile('kubelet-server'),
  tlsPrivateKeyFile: keyFile('kubelet-server'),
  tlsMinVersion: 'VersionTLS13',
  containerRuntimeEndpoint: `unix://${system.containerdSocket}`,
  cgroupDriver: machine.cgroup === 'v2' ? 'systemd' : 'cgroupfs',
  ...(machine.cgroup === 'v1' && { failCgroupV1: false }),
  ...(machine.swap && { failSwapOn: false }),
  clusterDNS: [dnsAddress],
  clusterDomain: domain,
  resolvConf: machine.resolvConf ?? resolvConf,
  // By default the kubelet checks its Node every second only in its first two minutes, and a lesson takes longer.
  nodeStatusUpdateFrequency: '1s',
  nodeStatusReportFrequency: '5m',
  // In bytes: a tenth of a large disk, the default, is more than a lab ever uses, and preflight asks for some GB.
  evictionHard: {
    'memory.available': '100Mi',
    'nodefs.available': '1Gi',
    'nodefs.inodesFree': '1%',
    'imagefs.available': '1Gi',
    'imagefs.inodesFree': '1%',
  },
  imageGCHighThresholdPercent: 100,
  podPidsLimit: 4096,
  seccompDefault: true,
  protectKernelDefaults: false,
  eventRecordQPS: 50,
  imageMaximumGCAge: '0s',
  volumePluginDir: `${system.kubelet}/volumeplugins`,
});

/** Allows the API server's own certificate to call kubelets, for logs and exec. */
const kubeletAccess = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRoleBinding',
  metadata: { name: 'hardway:kube-apiserver-kubelet-client' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:kubelet-api-admin' },
  subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'kube-apiserver-kubelet-client' }],
};

const everySecret = `kubectl --kubeconfig ${kubeconfigFile('kubelet')} auth can-i get secrets --all-namespaces`;

/** Observation of what a stolen credential of the kubelet gives access to. */
const reachOfKubelet: Readonly<Record<PkiProfile, Observation>> = {
  components: observe(
    {
      en: 'the kubelet may not read every Secret: its certificate opens what its own Pods use',
      fr: 'le kubelet ne peut pas lire tous les Secrets : son certificat ouvre ce que ses propres Pods utilisent',
    },
    everySecret,
    says('no'),
  ),
  guide: observe(
    {
      en: 'the kubelet may read every Secret: that is why one certificate for all is bad',
      fr: 'le kubelet peut lire tous les Secrets : voilà pourquoi un seul certificat pour tous est une mauvaise idée',
    },
    everySecret,
    says('yes'),
  ),
};

/**
 * Deletes the Pods that are bound to the Node. Without it nobody ends them, and the next kubelet would start them before
 * there is a network: only the scheduler waits for that. The controllers make new ones.
 */
const deletePodsOf = async (context: Context): Promise<void> => {
  const api = await apiOf(context);
  const onNode = encodeURIComponent(`spec.nodeName=${context.lab.node.name}`);
  const { items } = await api.get<{ items: KubeObject[] }>(`/api/v1/pods?fieldSelector=${onNode}`);
  for (const { metadata } of items)
    await api.removeAt(`/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`, { gracePeriodSeconds: 0 });
};

export const kubelet: Step = {
  id: 'kubelet',
  runsPods: true,
  loses: { what: 'Pods and their volumes', countedIn: `${system.kubelet}/pods` },
  leaves: {
    cgroups: ['kubepods', 'kubepods.slice'],
    mounts: [`${system.kubelet}/`],
    chains: [/^KUBE-(KUBELET-CANARY|FIREWALL|IPTABLES-HINT)$/],
    paths: [system.kubelet, '/var/log/pods', '/var/log/containers'],
  },
  title: 'kubelet',
  needs: { programs: ['kubelet', 'kubectl'], identities: ['kubelet'] },
  ports: [
    { number: 10248, at: 'loopback' },
    { number: 10250, at: 'node' },
  ],
  daemon,
  inputs: () => kubeletAccess,

  async apply(context) {
    const { lab, host } = context;
    await host.makeDir(system.kubelet, 0o750);
    if (!lab.machine.resolvConf)
      await host.writeFile(resolvConf, '# this machine knows no name server that a Pod could ask\n');
    await host.writeFile(configFile, stringify(configuration(lab)), 0o600);
    await ensureRunning(context, daemon(lab));
    await applyObjects(context, [kubeletAccess]);
  },

  objects: async () => [kubeletAccess],

  async deleteObjects(context) {
    const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: context.lab.node.name } };
    await deleteObjects(context, [kubeletAccess, node]);
    await deletePodsOf(context);
  },

  byHand: { proofs: ({ node }) => [`${kubectl} get node ${node.name}`] },

  checks: [
    check('only root can read its configuration', () => requireAccess(configFile, 0o600)),
    check('answers http://127.0.0.1:10248/healthz', async ({ lab }) => {
      await requestText('http://127.0.0.1:10248/healthz');
      await requireOwnPort(10248, daemon(lab));
    }),
    check('has registered this machine as a Node', async (context) => {
      await (await apiOf(context)).get(`/api/v1/nodes/${context.lab.node.name}`);
    }),
    // The kubelet keeps new Pods away and evicts others meanwhile; it first looks some seconds after its start.
    deferredCheck('the Node has disk, memory and processes to spare', async (context) => {
      const pressure = (await nodeConditions(context)).find(
        ({ type, status }) => type.endsWith('Pressure') && status === 'True',
      );
      if (pressure) throw new Error(`${pressure.type}: ${pressure.message}`);
    }),
  ],

  teaching: () => ({
    before: [fails('kubectl get nodes', says('No resources found'))],
    guideFlags: ['kubeconfig'],
    started: /Successfully registered node|"Node became ready"|Starting to sync pod status/,
    tasks: [
      tell(
        'taint-key',
        {
          en: 'Which taint keeps Pods away from the Node? Type its key.',
          fr: 'Quel taint éloigne les Pods du Node ? Tapez sa clé.',
        },
        "kubectl get nodes -o jsonpath='{.items[*].spec.taints[*].key}'",
      ),
    ],
  }),

  observations: ({ pki }) => [
    notYet(
      observe(
        {
          en: 'this machine is a Node, and it is NotReady',
          fr: 'cette machine est un Node, et il est NotReady',
        },
        'kubectl get nodes',
        lines(1, / NotReady /),
      ),
    ),
    notYet(
      observe(
        { en: 'because there is no network for Pods', fr: 'parce qu’il n’y a pas de réseau pour les Pods' },
        'kubectl get nodes -o jsonpath=\'{.items[0].status.conditions[?(@.type=="Ready")].message}\'',
        says('cni plugin not initialized'),
      ),
    ),
    notYet(
      observe(
        {
          en: 'so it carries a taint that keeps Pods away',
          fr: 'il porte donc un taint qui tient les Pods à distance',
        },
        "kubectl get nodes -o jsonpath='{.items[0].spec.taints}'",
        says('node.kubernetes.io/not-ready', 'NoSchedule'),
      ),
    ),
    notYet(
      observe(
        {
          en: 'and the scheduler now gives that as its reason',
          fr: 'et c’est maintenant la raison que donne le scheduler',
        },
        "kubectl get pods -l app=web -o jsonpath='{.items[0].status.conditions[0].message}'",
        says('0/1 nodes are available', 'untolerated taint'),
      ),
    ),
    reachOfKubelet[pki],
  ],
};
