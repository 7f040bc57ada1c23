import { X509Certificate } from 'node:crypto';
import { filesReadBy } from '../../lib/engine/daemon.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import type { LabStep } from '../../lib/engine/step.ts';
import { readIfThere } from '../../lib/host/files.ts';
import { certFile, keyFile, kubeconfigFile, paths } from '../../lib/host/paths.ts';
import { everyName, type NamedCertificate, requestsFor } from '../../steps/certificates.ts';
import { stepsWith } from '../../steps/index.ts';
import { requireLab } from '../lab.ts';

/** A certificate of the lab as it is on the disk. */
export interface CertificateRow {
  readonly name: string;
  readonly file: string;
  /** Absent for a key pair without a certificate, and for a file that cannot be read as one. */
  readonly subject?: string;
  readonly sans: readonly string[];
  /** Name of the CA that signs it; its own for a CA. */
  readonly issuer?: string;
  /** Components that read it, its key or the kubeconfig of its name. */
  readonly usedBy: readonly string[];
  /** Its end, as ISO 8601, and the whole days until then. */
  readonly ends?: string;
  readonly daysLeft?: number;
}

const day = 24 * 60 * 60 * 1000;

/** Lists the components that read a certificate, its key, or a kubeconfig that holds both. */
export const readersOf = (name: string, steps: readonly LabStep[]): readonly string[] => {
  const files = [certFile(name), keyFile(name), kubeconfigFile(name)];
  return steps.flatMap(({ daemon }) =>
    daemon && filesReadBy(daemon).some((file) => files.includes(file)) ? [daemon.name] : [],
  );
};

const parsed = (pem: string): X509Certificate | undefined => {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
};

const rowOf = async (
  { name, CN, signer }: NamedCertificate,
  steps: readonly LabStep[],
  now: Date,
): Promise<CertificateRow> => {
  const file = certFile(name);
  const found = CN === undefined ? undefined : parsed((await readIfThere(file)) ?? '');
  return {
    name,
    file,
    sans: found?.subjectAltName?.split(', ') ?? [],
    usedBy: readersOf(name, steps),
    ...(CN !== undefined && { issuer: signer ?? name }),
    ...(found && {
      subject: found.subject.split('\n').join(', '),
      ends: found.validToDate.toISOString(),
      daysLeft: Math.floor((found.validToDate.getTime() - now.getTime()) / day),
    }),
  };
};

/** Reads every certificate of a lab, in the order of its templates. */
export const certificateRows = async (lab: Lab, now = new Date()): Promise<readonly CertificateRow[]> => {
  const steps = stepsWith(lab);
  return Promise.all(everyName(await requestsFor(lab)).map((request) => rowOf(request, steps, now)));
};

const endOf = ({ issuer, daysLeft }: CertificateRow): string => {
  if (issuer === undefined) return 'a key pair without a certificate';
  if (daysLeft === undefined) return 'missing, or not readable';
  return daysLeft < 0 ? `ended ${-daysLeft} days ago` : `ends in ${daysLeft} days`;
};

const linesOf = (row: CertificateRow): readonly string[] => {
  const fields: readonly (readonly [string, string | undefined])[] = [
    ['file', row.file],
    ['subject', row.subject],
    ['SAN', row.sans.length > 0 ? row.sans.join(' ') : undefined],
    ['issuer', row.issuer],
    ['used by', row.usedBy.length > 0 ? row.usedBy.join(', ') : undefined],
  ];
  return [
    `${row.name.padEnd(34)} ${endOf(row)}`,
    ...fields.flatMap(([field, value]) => (value === undefined ? [] : [`  ${field.padEnd(8)} ${value}`])),
  ];
};

/** `hardway certs list`. */
export const list = async ({ json }: { readonly json?: boolean }): Promise<void> => {
  const { lab } = await requireLab();
  for (const row of await certificateRows(lab))
    process.stdout.write(json ? `${JSON.stringify(row)}\n` : `${linesOf(row).join('\n')}\n`);
  if (!json) process.stdout.write(`\nAll of them are in ${paths.certs}.\n`);
};
