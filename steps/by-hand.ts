import { certFile, keyFile, kubeconfigFile, paths } from '../lib/host/paths.ts';
import { quoted } from '../lib/host/run.ts';

/** Command line of kubectl as the admin of the lab. */
export const kubectl = `kubectl --kubeconfig ${kubeconfigFile('admin')}`;

/** Command line of etcdctl with the certificate of a client. */
export const etcdctl = `${paths.bin}/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=${certFile('etcd-ca')} --cert=${certFile('etcd-client')} --key=${keyFile('etcd-client')}`;

/** Returns shell lines, a heredoc, that write a file. */
export const heredoc = (path: string, content: string): readonly string[] => [
  `cat >${quoted([path])} <<'EOF'`,
  content.replace(/\n$/, ''),
  'EOF',
];
