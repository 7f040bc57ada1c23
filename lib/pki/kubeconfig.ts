import { stringify } from 'yaml';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/**
 * Returns a kubeconfig as YAML: the address of the API server, the CA of its certificate, and the certificate and
 * private key of `user` (all PEM). It holds a private key: write it with mode 0600.
 */
export const kubeconfig = (options: {
  /** For example https://127.0.0.1:6443. */
  readonly server: string;
  readonly ca: string;
  readonly user: string;
  readonly certificate: string;
  readonly key: string;
  readonly cluster?: string;
}): string => {
  const { server, ca, user, certificate, key, cluster = 'hardway' } = options;
  const context = `${user}@${cluster}`;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: cluster, cluster: { server, 'certificate-authority-data': base64(ca) } }],
    users: [{ name: user, user: { 'client-certificate-data': base64(certificate), 'client-key-data': base64(key) } }],
    contexts: [{ name: context, context: { cluster, user } }],
    'current-context': context,
  };
  // Keeps each value on one line, however long, as kubectl writes it.
  return stringify(config, { lineWidth: 0 });
};
