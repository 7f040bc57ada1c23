import { X509Certificate } from 'node:crypto';
import { readText } from '../../../lib/host/files.ts';
import { certFile, keyFile } from '../../../lib/host/paths.ts';
import { type CertificateRequest, extendedUsages } from '../../../lib/pki/templates.ts';

/** Formats a certificate as one line: subject, SANs, CA, and the reason for it. */
export const certificateLine = ({ name, CN, names, hosts, signer }: CertificateRequest, reason: string): string => {
  if (CN === undefined) return `${name}: ${reason}`;
  const groups = names.flatMap(({ O }) => (O ? [`O=${O}`] : []));
  const subject = [`CN=${CN}`, ...groups].join(', ');
  const sans = hosts.length > 0 ? `; SAN ${hosts.join(' ')}` : '';
  return `${name}: ${subject}${sans}; CA ${signer ?? name}; ${reason}`;
};

const usageOf = (oid: string): string =>
  Object.keys(extendedUsages).find((usage) => extendedUsages[usage]?.oid === oid) ?? oid;

/** Describes a certificate on this machine: its reason and its content. Throws when its file cannot be read. */
export const explainCertificate = async (request: CertificateRequest, reason: string): Promise<string> => {
  const { name, CN, signer } = request;
  if (CN === undefined) return `${keyFile(name)}\n  ${reason}`;
  const certificate = new X509Certificate(await readText(certFile(name)));
  const authority = new X509Certificate(await readText(certFile(signer ?? name)));
  // An intermediate CA is trusted itself, not the one above it.
  const partial = authority.checkIssued(authority) ? '' : '-partial_chain ';
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['subject', certificate.subject.split('\n').join(', ')],
    ['issuer', certificate.issuer.split('\n').join(', ')],
    ['SAN', certificate.subjectAltName],
    ['usage', certificate.ca ? 'CA: it signs others' : certificate.keyUsage?.map(usageOf).join(', ')],
    ['valid', `${certificate.validFrom} - ${certificate.validTo}`],
    ['SHA-256', certificate.fingerprint256.replaceAll(':', '').toLowerCase().slice(0, 32)],
    ['key', keyFile(name)],
  ];
  return [
    certFile(name),
    `  ${reason}`,
    ...rows.flatMap(([field, value]) => (value ? [`  ${field.padEnd(8)} ${value}`] : [])),
    `  openssl verify ${partial}-CAfile ${certFile(signer ?? name)} ${certFile(name)}`,
  ].join('\n');
};
