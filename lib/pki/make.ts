import { createPublicKey, generateKeyPair, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import type Forge from 'node-forge';
import { type CertificateRequest, isAuthority, subjectOf } from './templates.ts';

const minute = 60 * 1000;
const generate = promisify(generateKeyPair);

/** A new key pair, as PEM. */
export interface KeyPair {
  readonly publicKey: string;
  readonly privateKey: string;
}

/** How many more key pairs may be made at once, and who waits for that. */
const makers = { free: Math.min(availableParallelism(), 3), waiting: [] as (() => void)[] };

/**
 * Makes an RSA key pair, as PEM. Several are made at once, one a core, but never four: Node's thread pool has four
 * threads, and reading a file needs one too (nodejs.org/api/cli.html, UV_THREADPOOL_SIZE).
 */
export const makeKeyPair = async (): Promise<KeyPair> => {
  if (makers.free > 0) makers.free -= 1;
  else await new Promise<void>((resolve) => makers.waiting.push(resolve));
  try {
    return await generate('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
  } finally {
    const next = makers.waiting.shift();
    if (next) next();
    else makers.free += 1;
  }
};

/** The signer of a certificate; a CA signs itself. */
export interface Signer {
  readonly request: CertificateRequest;
  /** Private key, PEM. */
  readonly key: string;
  /** End of the signer's own certificate; absent for a signer that signs itself. */
  readonly end?: Date;
}

/** Makes a serial number of 126 random bits: positive, and always 16 octets long (RFC 5280, 4.1.2.2 allows 20). */
const serialNumber = (): string => {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8() & 0x7f) | 0x40);
  return bytes.toString('hex');
};

const yearsAfter = (date: Date, years: number): Date => {
  const later = new Date(date);
  later.setUTCFullYear(later.getUTCFullYear() + years);
  return later;
};

/**
 * Signs a public key with the key of `signer` and returns the certificate, as PEM. It is valid from 5 minutes before
 * `now`, because clocks differ, and not beyond the end of the signer's certificate.
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

  const nameOf = (of: CertificateRequest) =>
    subjectOf(of).map(({ part, value }) => ({
      shortName: part,
      value,
      // A country is a PrintableString (RFC 5280, appendix A). Every other part is UTF-8, which keeps accents. The
      // typings want asn1.Class, which node-forge does not check here.
      valueTagClass: (part === 'C' ? asn1.Type.PRINTABLESTRING : asn1.Type.UTF8) as unknown as Forge.asn1.Class,
    }));
  const keyIdentifier = (pem: string) =>
    pki.getPublicKeyFingerprint(pki.publicKeyFromPem(pem), { type: 'RSAPublicKey' }).getBytes();
  const uses = (usage: CertificateRequest['usages'][number]) => request.usages.includes(usage);
  const serverAuth = uses('server auth');
  const clientAuth = uses('client auth');

  const certificate = pki.createCertificate();
  certificate.serialNumber = serialNumber();
  certificate.publicKey = pki.publicKeyFromPem(publicKey);
  const end = yearsAfter(now, request.years);
  certificate.validity.notBefore = new Date(now.getTime() - 5 * minute);
  certificate.validity.notAfter = signer.end && signer.end < end ? signer.end : end;
  certificate.setSubject(nameOf(request));
  certificate.setIssuer(nameOf(signer.request));
  certificate.setExtensions([
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
    { name: 'subjectKeyIdentifier' },
    {
      name: 'authorityKeyIdentifier',
      keyIdentifier: keyIdentifier(createPublicKey(signer.key).export({ type: 'spki', format: 'pem' }).toString()),
    },
    ...(request.hosts.length > 0
      ? [
          {
            name: 'subjectAltName',
            altNames: request.hosts.map((host) => (isIP(host) ? { type: 7, ip: host } : { type: 2, value: host })),
          },
        ]
      : []),
  ]);
  // node-forge needs 40 ms to sign in JavaScript, OpenSSL 1 ms: so the key object given to node-forge signs with
  // OpenSSL.
  const signature = () => {
    const signed = Buffer.from(asn1.toDer(certificate.tbsCertificate).getBytes(), 'binary');
    return sign('sha256', signed, signer.key).toString('binary');
  };
  certificate.sign({ sign: signature } as unknown as Forge.pki.rsa.PrivateKey, forge.md.sha256.create());
  return pki.certificateToPem(certificate);
};
