import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { Bug } from '../engine/errors.ts';
import { authorityIn, refuseClockOf } from './clock.ts';
import { refuseToMake } from './given.ts';
import { type KeyPair, makeCertificate, makeKeyPair, type Signer } from './make.ts';
import { type CertificateRequest, endAfter, extendedUsages, isAuthority, subjectOf } from './templates.ts';

/** The files of one request, as PEM. */
export interface Pem {
  readonly name: string;
  /** The certificate; its public key where the request is for a key pair without a certificate. */
  readonly certificate: string;
  readonly key: string;
}

const day = 24 * 60 * 60 * 1000;
/** Days before its end from which a certificate is replaced. */
const margin = 30;

const readable = <T>(read: () => T): T | undefined => {
  try {
    return read();
  } catch {
    return undefined;
  }
};

/** Returns the pair of a private key that is there. Throws where it cannot be read. */
const keyPairOf = (privateKey: string): KeyPair => ({
  privateKey,
  publicKey: createPublicKey(createPrivateKey(privateKey)).export({ type: 'spki', format: 'pem' }).toString(),
});

const subjectIn = (certificate: X509Certificate): string =>
  Object.entries(certificate.toLegacyObject().subject)
    .flatMap(([part, values]) => [values ?? []].flat().map((value) => `${part}=${value}`))
    .join(', ');

const subjectWanted = (request: CertificateRequest): string =>
  subjectOf(request)
    .map(({ part, value }) => `${part}=${value}`)
    .join(', ');

const namesHost = (certificate: X509Certificate, host: string): boolean =>
  (isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host, { subject: 'never' })) !== undefined;

const hostProblem = ({ hosts }: CertificateRequest, certificate: X509Certificate): string | undefined => {
  const missing = hosts.filter((host) => !namesHost(certificate, host));
  if (missing.length > 0) return `its SANs lack ${missing.join(', ')}`;
  const held = certificate.subjectAltName?.split(', ') ?? [];
  // Every requested host is among them, so another number means that the certificate names further hosts.
  return held.length === hosts.length ? undefined : `its SANs name others too: ${held.join(', ')}`;
};

const usageProblem = (request: CertificateRequest, { keyUsage = [], ca }: X509Certificate): string | undefined => {
  const wanted = request.usages.flatMap((usage) => extendedUsages[usage]?.oid ?? []);
  const fits = ca === isAuthority(request) && [...keyUsage].sort().join() === wanted.sort().join();
  return fits ? undefined : `it is not made for ${request.usages.join(', ')}`;
};

const signerProblem = (
  { signer = 'itself' }: CertificateRequest,
  certificate: X509Certificate,
  ca: string,
): string | undefined => {
  const authority = readable(() => new X509Certificate(ca));
  const fits = authority && certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  return fits ? undefined : `it is not signed by ${signer}`;
};

/** Says why a certificate is not valid at a time. One that ends with its CA cannot be replaced by one that ends later. */
const timeProblem = (
  { validFromDate, validToDate }: X509Certificate,
  authority: X509Certificate | undefined,
  now: Date,
): string | undefined => {
  const clock = `and the clock of this machine says ${now.toISOString()}: set it if that is wrong`;
  if (validFromDate > now) return `it is valid only from ${validFromDate.toISOString()}, ${clock}`;
  if (validToDate <= now) return `it expired on ${validToDate.toISOString()}, ${clock}`;
  if (authority && authority.validToDate <= validToDate) return undefined;
  const soon = validToDate.getTime() - now.getTime() < margin * day;
  return soon ? `it expires on ${validToDate.toISOString()}, in less than ${margin} days` : undefined;
};

/** Parts of its validity by which a certificate may differ from its template: by hand a year has 365 days. */
const tolerance = 0.01;

const lengthProblem = (
  request: CertificateRequest,
  { validFromDate: from, validToDate: to }: X509Certificate,
  authority: X509Certificate | undefined,
): string | undefined => {
  const wanted = endAfter(from, request);
  const last = authority && authority.validToDate < wanted ? authority.validToDate : wanted;
  const off = Math.abs(to.getTime() - last.getTime());
  if (off <= day + tolerance * (wanted.getTime() - from.getTime())) return undefined;
  return `it ends on ${to.toISOString()} instead of ${last.toISOString()}`;
};

const sizeProblem = ({ key: { size } }: CertificateRequest, key: KeyObject): string | undefined => {
  const bits = key.asymmetricKeyDetails?.modulusLength;
  return bits === size ? undefined : `its key has ${bits ?? 'not'} bits instead of ${size}`;
};

const keyPairProblem = (publicKey: string, key: KeyObject): string | undefined => {
  const held = readable(() => createPublicKey(publicKey));
  return held?.equals(createPublicKey(key)) ? undefined : 'its public key is not that of its private key';
};

/** Returns what is wrong with a CA that was given: it is what its owner made it, so only whether it is that one. */
const problemsOfGiven = (
  fingerprint: string,
  certificate: X509Certificate,
  key: KeyObject,
  now: Date,
): readonly (string | undefined)[] => [
  certificate.fingerprint256 === fingerprint ? undefined : 'it is not the certificate that was given',
  certificate.checkPrivateKey(key) ? undefined : 'its private key is that of another certificate',
  timeProblem(certificate, certificate, now),
];

/** Returns what is wrong with a certificate that is made here. */
const problemsOfMade = (
  request: CertificateRequest,
  certificate: X509Certificate,
  { key, ca, now }: { readonly key: KeyObject; readonly ca: string; readonly now: Date },
): readonly (string | undefined)[] => {
  const [held, wanted] = [subjectIn(certificate), subjectWanted(request)];
  const authority = isAuthority(request) ? undefined : readable(() => new X509Certificate(ca));
  return [
    certificate.checkPrivateKey(key) ? undefined : 'its private key is that of another certificate',
    sizeProblem(request, key),
    held === wanted ? undefined : `its subject is ${held} instead of ${wanted}`,
    hostProblem(request, certificate),
    usageProblem(request, certificate),
    signerProblem(request, certificate, ca),
    timeProblem(certificate, authority, now) ?? lengthProblem(request, certificate, authority),
  ];
};

/**
 * Returns the reasons why a certificate and its key do not fit a request; none when they do. `ca` is the certificate of
 * the signer, as PEM; for a CA its own. A certificate that ends within 30 days of `now` does not fit, unless its CA ends
 * with it.
 */
export const problemsOf = (
  request: CertificateRequest,
  pem: Pem,
  ca: string,
  now: Date = new Date(),
): readonly string[] => {
  const key = readable(() => createPrivateKey(pem.key));
  if (!key) return ['its private key cannot be read'];
  if (request.CN === undefined)
    return [keyPairProblem(pem.certificate, key), sizeProblem(request, key)].flatMap((problem) => problem ?? []);
  const certificate = readable(() => new X509Certificate(pem.certificate));
  if (!certificate) return ['it cannot be read as a certificate'];
  const problems = request.given
    ? problemsOfGiven(request.given.fingerprint, certificate, key, now)
    : problemsOfMade(request, certificate, { key, ca, now });
  return problems.filter((problem) => problem !== undefined);
};

/**
 * Returns the certificate and key of every request, in the order of the requests. A pair of `existing` that fits is
 * kept; every other one is made anew, with a new key. A new CA brings new certificates for all that it signs; one that was
 * given is never made. Throws UserError where a CA of `existing` is not valid at `now`, or a given one does not fit. `newKeyPair` gives the new keys, for one who has made some
 * beforehand; a pair that `keepsKey` is given another certificate for the key that it has.
 */
export const issue = async (
  requests: readonly CertificateRequest[],
  existing: ReadonlyMap<string, Pem>,
  { now = new Date(), newKeyPair = makeKeyPair, keepsKey = (_: CertificateRequest): boolean => false } = {},
): Promise<readonly Pem[]> => {
  const authorities = requests
    .filter(isAuthority)
    .flatMap(({ name, given }) => authorityIn(name, existing.get(name)?.certificate ?? '', given !== undefined) ?? []);
  refuseClockOf(authorities, now);
  const fits = (request: CertificateRequest): boolean => {
    const pem = existing.get(request.name);
    const authority = requests.find(({ name }) => name === (request.signer ?? request.name));
    const ca = existing.get(authority?.name ?? '');
    if (!pem || (request.signer && (!authority || !fits(authority)))) return false;
    return problemsOf(request, pem, ca?.certificate ?? '', now).length === 0;
  };
  const made = new Map<string, Promise<Pem>>();
  const pemOf = (request: CertificateRequest): Promise<Pem> => {
    const kept = existing.get(request.name);
    const pem = made.get(request.name) ?? (kept && fits(request) ? Promise.resolve(kept) : make(request));
    made.set(request.name, pem);
    return pem;
  };
  const signerOf = async (request: CertificateRequest, key: string): Promise<Signer> => {
    if (request.signer === undefined) return { key };
    const authority = requests.find(({ name }) => name === request.signer);
    if (!authority) throw new Bug(`${request.name}: no request for its signer ${request.signer}`);
    const pem = await pemOf(authority);
    return { certificate: pem.certificate, key: pem.key };
  };
  const make = async (request: CertificateRequest): Promise<Pem> => {
    const kept = existing.get(request.name);
    if (request.given) refuseToMake(request.name, kept ? problemsOf(request, kept, kept.certificate, now) : []);
    const held = keepsKey(request) ? readable(() => keyPairOf(existing.get(request.name)?.key ?? '')) : undefined;
    const { publicKey, privateKey: key } = held ?? (await newKeyPair(request.key.size));
    if (request.CN === undefined) return { name: request.name, certificate: publicKey, key };
    const certificate = await makeCertificate(request, publicKey, await signerOf(request, key), now);
    return { name: request.name, certificate, key };
  };
  return Promise.all(requests.map(pemOf));
};
