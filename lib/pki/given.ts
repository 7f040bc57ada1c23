import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { sentenceOf, UserError } from '../engine/errors.ts';
import type { GivenCa } from '../engine/lab.ts';
import { requireOwnOrAsked } from '../engine/own.ts';
import { readText } from '../host/files.ts';
import { quoted } from '../host/run.ts';
import { extensionOf, keyIdentifierOf, pathLengthOf, saysAuthority, saysCertSign, subjectBytes } from './der.ts';
import { blocksOf } from './pem.ts';
import { extendedUsages } from './templates.ts';

/** Most bytes of a file with a certificate or a key. */
const mostBytes = 256 << 10;
const fewestBits = 2048;
/** anyExtendedKeyUsage (RFC 5280, 4.2.1.12). */
const anyUsage = '2.5.29.37.0';

const example = 'hardway up --ca-cert ca.pem --ca-key ca-key.pem';

const refuse = (option: string, path: string, why: string, next = `give another one: ${example}`): UserError =>
  new UserError(`${option} ${path}: ${why}`, next);

/** Reads a file that a person names. Throws UserError where it cannot be read, and where others may change it. */
const textOf = async (option: string, path: string): Promise<string> => {
  const text = await readText(path, mostBytes).catch((error: unknown) => {
    const next = `give the path of a file: ${example}; a lab that is here keeps its CA without ${option}`;
    throw new UserError(`${option}: ${sentenceOf(error)}`, next);
  });
  await requireOwnOrAsked(path);
  return text;
};

const certificatesIn = (path: string, text: string): readonly X509Certificate[] => {
  const blocks = blocksOf(text);
  if (blocks.some((block) => block.includes('PRIVATE KEY-----')))
    throw refuse('--ca-cert', path, 'it holds a private key; the certificate and its key are two files', example);
  const found = blocks.filter((block) => block.startsWith('-----BEGIN CERTIFICATE-----'));
  if (found.length === 0)
    throw refuse(
      '--ca-cert',
      path,
      'no certificate in PEM is in it',
      `openssl x509 -inform der -in ${path} -out ca.pem`,
    );
  try {
    return found.map((block) => new X509Certificate(block));
  } catch {
    throw refuse('--ca-cert', path, 'a certificate in it cannot be read');
  }
};

const timeFault = ({ validFromDate: from, validToDate: to }: X509Certificate, now: Date): string | undefined => {
  const clock = `and the clock of this machine says ${now.toISOString()}: set it if that is wrong`;
  if (from > now) return `it is valid only from ${from.toISOString()}, ${clock}`;
  return to <= now ? `it expired on ${to.toISOString()}, ${clock}` : undefined;
};

const keyFault = ({ publicKey }: X509Certificate): string | undefined => {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details = {} } = publicKey;
  if (type !== 'rsa') return `its key is of the type ${type}: hardway signs with RSA only`;
  const { modulusLength: bits = 0 } = details;
  return bits < fewestBits ? `its key has ${bits} bits, and ${fewestBits} are the fewest` : undefined;
};

/** Says why a certificate cannot sign those of a cluster, by RFC 5280, 4.2.1. */
const extensionFault = ({ raw, keyUsage: purposes }: X509Certificate): string | undefined => {
  if (!saysAuthority(raw)) return 'it is not of a CA: its basicConstraints do not say CA:TRUE';
  if (!extensionOf(raw, 'basicConstraints')?.critical)
    return 'its basicConstraints are not critical (RFC 5280, 4.2.1.9)';
  if (!saysCertSign(raw))
    return 'its keyUsage has no keyCertSign (Certificate Sign): its key may not sign certificates';
  if (!keyIdentifierOf(raw)) return 'it has no subjectKeyIdentifier (RFC 5280, 4.2.1.2)';
  if (extensionOf(raw, 'nameConstraints'))
    return 'it has nameConstraints: a cluster has names and addresses of its own, such as kubernetes.default';
  const needed = Object.values(extendedUsages).map(({ oid }) => oid);
  const suits = !purposes || purposes.includes(anyUsage) || needed.every((oid) => purposes.includes(oid));
  return suits ? undefined : 'its extendedKeyUsage is not both for servers and for clients';
};

const isSelfSigned = (certificate: X509Certificate): boolean =>
  certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);

/** Says why the certificates behind the first one are not those above it, each the issuer of the one before. */
const chainFault = (certificates: readonly X509Certificate[], now: Date): string | undefined => {
  for (const [index, above] of certificates.slice(1).entries()) {
    const below = certificates[index];
    const which = `the certificate ${index + 2} in it (${above.subject.replaceAll('\n', ', ')})`;
    if (!below?.checkIssued(above) || !below.verify(above.publicKey))
      return `${which} has not signed the one before: the CA comes first, then each the one that has signed it`;
    if (!saysAuthority(above.raw) || !saysCertSign(above.raw)) return `${which} is not of a CA that may sign`;
    const fault = timeFault(above, now);
    if (fault !== undefined) return `${which}: ${fault}`;
    // Between it and a certificate of the cluster are the CA and those between the two.
    const length = pathLengthOf(above.raw);
    if (length !== undefined && length < index + 1)
      return `${which} has the path length ${length}, and ${index + 1} CAs are below it (RFC 5280, 4.2.1.9)`;
  }
  return undefined;
};

const keyIn = (path: string, text: string): KeyObject => {
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(text)) {
    const plain = `(umask 077 && ${quoted(['openssl', 'pkey', '-in', path, '-out', 'ca-key.pem'])})`;
    throw refuse('--ca-key', path, 'it is encrypted: kube-controller-manager cannot read such a key', plain);
  }
  try {
    return createPrivateKey(text);
  } catch {
    throw refuse('--ca-key', path, 'no private key in PEM is in it');
  }
};

/** Throws UserError where others can read a key. */
const requireSecret = async (path: string): Promise<void> => {
  const { mode } = await stat(path);
  if ((mode & 0o077) === 0) return;
  const written = (mode & 0o7777).toString(8).padStart(4, '0');
  const why = `others can read it: it has the mode ${written}`;
  throw refuse('--ca-key', path, why, `${quoted(['chmod', '600', path])}; if somebody has read it, another key`);
};

/**
 * Reads a CA that a person gives: its certificate, with those above it behind it, and its key. Throws UserError that says why
 * it cannot sign the certificates of a cluster: what RFC 5280 asks of a CA, a key of another certificate or other than
 * RSA, files that others may read or change.
 */
export const readGivenCa = async (
  { certificate, key }: Pick<GivenCa, 'certificate' | 'key'>,
  now: Date = new Date(),
): Promise<{ readonly ca: GivenCa; readonly pem: { readonly certificate: string; readonly key: string } }> => {
  const certificates = certificatesIn(certificate, await textOf('--ca-cert', certificate));
  const [first, ...above] = certificates;
  if (!first) throw refuse('--ca-cert', certificate, 'no certificate is in it');
  const fault =
    keyFault(first) ??
    extensionFault(first) ??
    (subjectBytes(first.raw).length === 0 ? 'its subject is empty' : undefined) ??
    timeFault(first, now) ??
    chainFault(certificates, now);
  if (fault !== undefined) throw refuse('--ca-cert', certificate, fault);
  const text = await textOf('--ca-key', key);
  await requireSecret(key);
  const held = keyIn(key, text);
  if (!first.checkPrivateKey(held))
    throw refuse('--ca-key', key, `it is not the key of the certificate in ${certificate}`);
  const shown = isSelfSigned(first) ? [] : [first, ...above.filter((one) => !isSelfSigned(one))];
  return {
    ca: {
      fingerprint: first.fingerprint256,
      certificate,
      key,
      ends: first.validToDate.toISOString(),
      chain: shown.map(String).join(''),
    },
    pem: { certificate: first.toString(), key: held.export({ type: 'pkcs8', format: 'pem' }).toString() },
  };
};

/** What to do with a CA that was given, instead of making another one. */
export const giveAnother = `a given CA is replaced by another given one: hardway reset --to certificates, then ${example}`;

/** Throws where a CA that was given would be made: it was lost, or changed. */
export const refuseToMake = (name: string, problems: readonly string[]): never => {
  throw new UserError(
    `the CA ${name} was given, and is not made here: ${problems.join('; ') || 'its certificate or its key is missing'}`,
    `give it again: ${example}`,
  );
};
