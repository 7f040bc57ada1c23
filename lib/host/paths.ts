import { resolve } from 'node:path';

const project = resolve(import.meta.dirname, '../..');
/** The command `hardway` of this checkout. */
export const launcher = `${project}/bin/hardway`;

/** Our own folders and files; those of other programs are in `system`. */
export const root = '/var/lib/hardway';
/** Empty is the same as unset, as in bin/node.sh. */
export const cache = process.env['HARDWAY_CACHE'] || '/var/cache/hardway';
export const paths = {
  root,
  /** Binaries that this lab uses. */
  bin: `${root}/bin`,
  certs: `${root}/certs`,
  kubeconfigs: `${root}/kubeconfigs`,
  /** Configuration files of the daemons. */
  config: `${root}/config`,
  etcd: `${root}/etcd`,
  logs: `${root}/logs`,
  /** What kube-apiserver wrote down of requests. */
  audit: `${root}/audit`,
  /** Manifests of the demo objects, for a learner to read and to apply again. */
  demo: `${root}/demo`,
  state: `${root}/state.json`,
  /** CAs and keys that are being replaced, with the new keys. */
  rotation: `${root}/rotation.json`,
  /** Records of observations, for the hand-out. */
  seen: `${root}/seen.json`,
  /** Guesses and tasks of whoever learns with this lab. */
  learner: `${root}/learner.json`,
  /** Files of the exercise that runs. */
  practice: `${root}/practice`,
  ledger: `${root}/ledger.jsonl`,
  /** Snapshot of this machine before the first change. */
  snapshot: `${root}/picture.json`,
  /** Copies of the files that we replaced, for reset. */
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

/** Places that containerd, the kubelet and the CNI plugins have by custom; another Kubernetes has the same. */
export const system = {
  containerdSocket: '/run/containerd/containerd.sock',
  /** Images and the files of containers. */
  containerd: '/var/lib/containerd',
  /** Volumes and state of Pods. */
  kubelet: '/var/lib/kubelet',
  cniPlugins: '/opt/cni/bin',
  cniConfig: '/etc/cni/net.d',
} as const;

/** Returns the path of a certificate; its file name is the guide's. */
export const certFile = (name: string): string => `${paths.certs}/${name}.pem`;
/** Returns the path of a private key. */
export const keyFile = (name: string): string => `${paths.certs}/${name}-key.pem`;
/** Returns the path of the kubeconfig of an identity. */
export const kubeconfigFile = (name: string): string => `${paths.kubeconfigs}/${name}.conf`;

/**
 * Returns the environment in which kubectl, etcdctl, crictl and ctr reach this cluster (crictl reads /etc/crictl.yaml).
 */
export const labEnvironment = (): Readonly<Record<string, string>> => ({
  KUBECONFIG: kubeconfigFile('admin'),
  PATH: `${paths.bin}:${process.env['PATH'] ?? ''}`,
  ETCDCTL_ENDPOINTS: 'https://127.0.0.1:2379',
  ETCDCTL_CACERT: certFile('etcd-ca'),
  ETCDCTL_CERT: certFile('etcd-client'),
  ETCDCTL_KEY: keyFile('etcd-client'),
  CONTAINERD_NAMESPACE: 'k8s.io',
});
