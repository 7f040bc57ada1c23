/** Every place on the machine that hardway uses. Nothing else spells these paths. */
export const root = '/var/lib/hardway';
export const cache = process.env['HARDWAY_CACHE'] ?? '/var/cache/hardway';
export const paths = {
  root,
  /** Binaries in use by this lab, one file a name. */
  bin: `${root}/bin`,
  certs: `${root}/certs`,
  kubeconfigs: `${root}/kubeconfigs`,
  /** Configuration files of the daemons. */
  config: `${root}/config`,
  etcd: `${root}/etcd`,
  logs: `${root}/logs`,
  /** Manifests that the story applies, for a learner to read and to apply again. */
  demo: `${root}/demo`,
  state: `${root}/state.json`,
  /** What observations printed, for the hand-out. */
  seen: `${root}/seen.json`,
  ledger: `${root}/ledger.jsonl`,
  /** What this machine was like before the first change. */
  picture: `${root}/picture.json`,
  /** Files that stood where we wrote ours, kept for reset. */
  before: `${root}/before`,
  units: '/etc/systemd/system',
  links: '/usr/local/bin',
  lock: '/run/hardway.lock',
  settings: '/etc/hardway.yaml',
  cache,
  images: `${cache}/images`,
  /** Throw-away VMs, one folder a name. */
  vms: '/var/lib/hardway-vms',
} as const;

/** Where a certificate is kept, named as the guide names it. */
export const certFile = (name: string): string => `${paths.certs}/${name}.pem`;
/** Where a private key is kept. */
export const keyFile = (name: string): string => `${paths.certs}/${name}-key.pem`;
/** Where the kubeconfig of an identity is kept. */
export const kubeconfigFile = (name: string): string => `${paths.kubeconfigs}/${name}.conf`;

/** What a shell needs so that kubectl, etcdctl, crictl and ctr know this cluster (crictl reads /etc/crictl.yaml). */
export const labEnvironment = (): Readonly<Record<string, string>> => ({
  KUBECONFIG: kubeconfigFile('admin'),
  PATH: `${paths.bin}:${process.env['PATH'] ?? ''}`,
  ETCDCTL_ENDPOINTS: 'https://127.0.0.1:2379',
  ETCDCTL_CACERT: certFile('etcd-ca'),
  ETCDCTL_CERT: certFile('etcd-client'),
  ETCDCTL_KEY: keyFile('etcd-client'),
  CONTAINERD_NAMESPACE: 'k8s.io',
});
