import { paths } from '../host/paths.ts';

/** Where a certificate is kept, named as the guide names it. */
export const certFile = (name: string): string => `${paths.certs}/${name}.pem`;
/** Where a private key is kept. */
export const keyFile = (name: string): string => `${paths.certs}/${name}-key.pem`;
/** Where the kubeconfig of an identity is kept. */
export const kubeconfigFile = (name: string): string => `${paths.kubeconfigs}/${name}.conf`;
