import { paths } from '../host/paths.ts';
import { certFile, keyFile, kubeconfigFile } from '../pki/files.ts';

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
