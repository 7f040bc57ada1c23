import { isAbsolute, join } from 'node:path';
import { type Api, apiOf, type KubeObject } from '../../lib/cluster/api.ts';
import { until } from '../../lib/engine/check.ts';
import { UserError } from '../../lib/engine/errors.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import { readText, statIfThere, writeNew } from '../../lib/host/files.ts';
import { certFile } from '../../lib/host/paths.ts';
import { person } from '../../lib/host/person.ts';
import { quoted } from '../../lib/host/run.ts';
import { kubeconfig } from '../../lib/pki/kubeconfig.ts';
import { makeKeyPair } from '../../lib/pki/make.ts';
import { makeSigningRequest } from '../../lib/pki/signing-request.ts';
import { stepsWith } from '../../steps/index.ts';
import { interruptible } from '../interrupt.ts';
import { requireLab } from '../lab.ts';
import { asTyped } from '../typed.ts';

export interface CsrOptions {
  readonly group: readonly string[];
  readonly expires: string;
  readonly out?: string;
}

const signerName = 'kubernetes.io/kube-apiserver-client';

/** Seconds by the letter of their unit. */
const units: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400 };

/**
 * Parses how long a certificate is valid, such as 12h or 30d, into seconds. Throws UserError for less than ten minutes, which
 * the API server does not accept, and more than a year, for which the signer gives a year at most.
 */
export const parseExpires = (text: string): number => {
  const [, number, unit = ''] = /^(\d+)([mhd])$/.exec(text) ?? [];
  const seconds = Number(number) * (units[unit] ?? Number.NaN);
  if (seconds >= 600 && seconds <= 365 * 86_400) return seconds;
  throw new UserError(`--expires ${text}: it is from 10m to 365d`, 'hardway certs csr jane --expires 24h');
};

/** Throws UserError for a name or a group that a person may not have, because the cluster gives it to its own parts. */
export const requirePersonal = (name: string, groups: readonly string[]): void => {
  const example = 'hardway certs csr jane --group developers';
  if (!/^[a-z0-9]([-a-z0-9.@]{0,61}[a-z0-9])?$/.test(name))
    throw new UserError(`"${name}" is no name for a person: lower-case letters, digits, - . and @`, example);
  for (const group of groups)
    if (group === '' || group.startsWith('system:') || group.length > 64)
      throw new UserError(`--group "${group}": a person's group does not begin with system:`, example);
};

const csrPath = (name: string): string => `/apis/certificates.k8s.io/v1/certificatesigningrequests/${name}`;

type SigningRequest = KubeObject & { readonly status?: { readonly certificate?: string } };

/** Has the cluster sign a request: creates the object, approves it, waits for the certificate, and deletes it. */
const signed = async (
  api: Api,
  { object, request, seconds, signal }: { object: string; request: string; seconds: number; signal: AbortSignal },
): Promise<string> => {
  const condition = { type: 'Approved', status: 'True', reason: 'HardwayCertsCsr', message: 'by hardway certs csr' };
  let certificate = '';
  try {
    await api.apply({
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { name: object },
      spec: {
        request: Buffer.from(request).toString('base64'),
        signerName,
        expirationSeconds: seconds,
        usages: ['client auth'],
      },
    });
    await api.patchAt(`${csrPath(object)}/approval`, { status: { conditions: [condition] } });
    const look = async (): Promise<void> => {
      certificate = (await api.get<SigningRequest>(csrPath(object))).status?.certificate ?? '';
      if (certificate === '') throw new Error('kube-controller-manager has not signed it yet');
    };
    await until(`the certificate of ${object} is signed`, look, { signal, deadline: 30_000 });
  } finally {
    await api.removeAt(csrPath(object));
  }
  return Buffer.from(certificate, 'base64').toString();
};

/** Makes a person's key, has the cluster sign it, and returns the kubeconfig. */
const make = async (lab: Lab, name: string, groups: readonly string[], seconds: number, signal: AbortSignal) => {
  const context = { ...readOnlyContext(lab, stepsWith(lab)), signal };
  const { privateKey } = await makeKeyPair();
  const request = await makeSigningRequest(privateKey, [
    { part: 'CN', value: name },
    ...groups.map((value) => ({ part: 'O', value })),
  ]);
  const object = `hardway-${name.replaceAll('@', '.')}`;
  const certificate = await signed(await apiOf(context), { object, request, seconds, signal });
  return kubeconfig({
    server: `https://${lab.node.address}:6443`,
    ca: await readText(certFile('ca')),
    user: name,
    certificate,
    key: privateKey,
  });
};

/**
 * `hardway certs csr`: a person's certificate by the Certificates API, from the key to the kubeconfig. Throws UserError for a
 * name that a person may not have, and for a file that is there.
 */
export const csr = async (name: string, { group, expires, out }: CsrOptions): Promise<void> => {
  requirePersonal(name, group);
  const seconds = parseExpires(expires);
  const { lab } = await requireLab();
  const { owner } = await person();
  const file = out ?? `${name}.kubeconfig`;
  const path = isAbsolute(file) ? file : join(process.cwd(), file);
  if (await statIfThere(path)) throw new UserError(`${path} is there, and is not overwritten`, `--out another file`);
  const content = await interruptible('hardway certs csr makes it anew', (signal) =>
    make(lab, name, group, seconds, signal),
  );
  await writeNew(path, Buffer.from(content), { mode: 0o600, owner });
  const subject = group[0] === undefined ? `--user=${name}` : `--group=${group[0]}`;
  const binding = `kubectl create rolebinding ${name}-view --clusterrole=view ${quoted([subject])} --namespace=default`;
  process.stdout.write(
    asTyped(`${path}: the kubeconfig of ${name}, for ${expires}; its key is nowhere else.
It has no rights yet. For example:
  ${binding}
`),
  );
};
