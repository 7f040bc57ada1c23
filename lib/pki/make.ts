import { generateKeyPair, randomBytes, sign, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import type Forge from 'node-forge';
import { keyIdentifierOf, subjectBytes } from './der.ts';
import { type CertificateRequest, endAfter, isAuthority, subjectOf } from './templates.ts';

const minute = 60 * 1000;
const generate = promisify(generateKeyPair);

/** A new key pair, as PEM. */
export interface KeyPair {
  readonly publicKey: string;
  readonly privateKey: string;
}

/** How many more key pairs may be made at once, and who waits for that. */
const makers = { free: Math.min(availableParallelism(), 3), waiting: [] as (() => void)[] };

/** Bits of a key where a template does not say it. */
const usualSize = 2048;

/**
 * Makes an RSA key pair of so many bits, as PEM. Several are made at once, one a core, but never four: Node's thread pool has four
 * threads, and reading a file needs one too (nodejs.org/api/cli.html, UV_THREADPOOL_SIZE).
 */
export const makeKeyPair = async (size: number = usualSize): Promise<KeyPair> => {
  if (makers.free > 0) makers.free -= 1;
  else await new Promise<void>((resolve) => makers.waiting.push(resolve));
  try {
    return await generate('rsa', {
      modulusLength: size,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
  } finally {
    const next = makers.waiting.shift();
    if (next) next();
    else makers.free += 1;
  }
};

/** The signer of a certificate. */
export interface Signer {
  /** Its certificate, PEM; absent for a CA that signs itself. */
  readonly certificate?: string;
  /** Private key, PEM. */
  readonly key: string;
}

/** Makes a serial number of 126 random bits: positive, and always 16 octets long (RFC 5280, 4.1.2.2 allows 20). */
const serialNumber = (): string => {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8() & 0x7f) | 0x40);
  return bytes.toString('hex');
};

/** Tag of a SEQUENCE with its bit for elements in it: node-forge writes content that is bytes already as it is. */
const sequence = 0x30 as Forge.asn1.Type;
/** Place of the issuer in a certificate: after version, serial number and signature (RFC 5280, 4.1). */
const issuerAt = 3;

/** Returns a subject as node-forge has it. */
const attributesOf = (request: CertificateRequest, { Type }: typeof Forge.asn1) =>
  subjectOf(request).map(({ part, value }) => ({
    shortName: part,
    value,
    // A country is a PrintableString (RFC 5280, appendix A). Every other part is UTF-8, which keeps accents. The
    // typings want asn1.Class, which node-forge does not check here.
    valueTagClass: (part === 'C' ? Type.PRINTABLESTRING : Type.UTF8) as unknown as Forge.asn1.Class,
  }));

/** Returns the extensions of a certificate as node-forge has them, but the key identifiers. */
const extensionsOf = (request: CertificateRequest): readonly object[] => {
  const uses = (usage: CertificateRequest['usages'][number]) => request.usages.includes(usage);
  const serverAuth = uses('server auth');
  const clientAuth = uses('client auth');
  const altNames = request.hosts.map((host) => (isIP(host) ? { type: 7, ip: host } : { type: 2, value: host }));
  return [
    { name: 'basicConstraints', critical: true, cA: isAuthority(request) },
    {
      name: 'keyUsage',
      critical: true,
      digitalSignature: uses('digital signature'),
      keyEncipherment: uses('key encipherment'),
      keyCertSign: uses('cert sign'),
      cRLSign: uses('crl sign'),
    },
    ...(serverAuth || clientAuth ? [{ name: 'extKeyUsage', serverAuth, clientAuth }] : []),
    ...(altNames.length > 0 ? [{ name: 'subjectAltName', altNames }] : []),
  ];
};

/** Returns from when until when a certificate is valid: not beyond its signer's certificate, on either side. */
const validityOf = (request: CertificateRequest, authority: X509Certificate | undefined, now: Date) => {
  const notBefore = new Date(now.getTime() - 5 * minute);
  const notAfter = endAfter(now, request);
  const { validFromDate: from = notBefore, validToDate: to = notAfter } = authority ?? {};
  return {
    notBefore: new Date(Math.max(from.getTime(), notBefore.getTime())),
    notAfter: new Date(Math.min(to.getTime(), notAfter.getTime())),
  };
};

/**
 * Signs a public key with the key of `signer` and returns the certificate, as PEM. It is valid from 5 minutes before
 * `now`, because clocks differ, and not beyond the validity of the signer's certificate. Its issuer is the subject of that
 * certificate byte for byte: a CA made elsewhere may have written the same name in another way (RFC 5280, 7.1).
 */
export const makeCertificate = async (
  request: CertificateRequest,
  publicKey: string,
  signer: Signer,
  now: Date,
): Promise<string> => {
  // Loading node-forge takes 40 ms, so it is loaded only when a certificate has to be made.
  const { default: forge } = await import('node-forge');
  const { asn1, pki } = forge;
  const authority = signer.certificate === undefined ? undefined : new X509Certificate(signer.certificate);

  const certificate = pki.createCertificate();
  certificate.serialNumber = serialNumber();
  certificate.publicKey = pki.publicKeyFromPem(publicKey);
  certificate.validity = validityOf(request, authority, now);
  const subject = attributesOf(request, asn1);
  certificate.setSubject(subject);
  certificate.setIssuer(subject);
  const keyIdentifier = authority
    ? keyIdentifierOf(authority.raw)?.toString('binary')
    : pki.getPublicKeyFingerprint(certificate.publicKey, { type: 'RSAPublicKey' }).getBytes();
  certificate.setExtensions([
    ...extensionsOf(request),
    { name: 'subjectKeyIdentifier' },
    ...(keyIdentifier === undefined ? [] : [{ name: 'authorityKeyIdentifier', keyIdentifier }]),
  ]);
  // node-forge needs 40 ms to sign in JavaScript, OpenSSL 1 ms: so the key object given to node-forge signs with
  // OpenSSL.
  const signature = () => {
    const name = authority && subjectBytes(authority.raw).toString('binary');
    const fields = certificate.tbsCertificate.value as Forge.asn1.Asn1[];
    if (name !== undefined) fields[issuerAt] = asn1.create(asn1.Class.UNIVERSAL, sequence, false, name);
    const signed = Buffer.from(asn1.toDer(certificate.tbsCertificate).getBytes(), 'binary');
    return sign('sha256', signed, signer.key).toString('binary');
  };
  certificate.sign({ sign: signature } as unknown as Forge.pki.rsa.PrivateKey, forge.md.sha256.create());
  return pki.certificateToPem(certificate);
};
