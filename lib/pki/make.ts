import { createPublicKey, generateKeyPair, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import type Forge from 'node-forge';
import { type CertificateRequest, isAuthority, subjectOf } from './templates.ts';

const minute = 60 * 1000;
const generate = promisify(generateKeyPair);

/** An RSA key pair, as PEM, made on Node's thread pool: several at once use every core. */
export const makeKeyPair = (): Promise<{ publicKey: string; privateKey: string }> =>
  generate('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });

/** What signs a certificate; a CA signs itself. */
export interface Signer {
  readonly request: CertificateRequest;
  /** Private key, PEM. */
  readonly key: string;
  /** When its own certificate ends; absent for one that signs itself. */
  readonly end?: Date;
}

/** 126 random bits: positive, and 16 octets whatever they are (RFC 5280, 4.1.2.2 allows 20). */
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
 * The certificate, as PEM, that `signer` gives to a public key. It is valid from 5 minutes before `now`, for a clock
 * that goes slow, and no longer than its signer's.
 */
export const makeCertificate = async (
  request: CertificateRequest,
  publicKey: string,
  signer: Signer,
  now: Date,
): Promise<string> => {
  // Costs 40 ms: only where a certificate has to be made.
  const { default: forge } = await import('node-forge');
  const { asn1, pki } = forge;

  const nameOf = (of: CertificateRequest) =>
    subjectOf(of).map(({ part, value }) => ({
      shortName: part,
      value,
      // A country is a PrintableString (RFC 5280, appendix A); UTF-8 keeps the accents of all else.
      // The typings want asn1.Class, which node-forge does not look at here.
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
  // Its own signature takes node-forge 40 ms of JavaScript, OpenSSL 1 ms: the key that it asks for one asks OpenSSL.
  const signature = () => {
    const signed = Buffer.from(asn1.toDer(certificate.tbsCertificate).getBytes(), 'binary');
    return sign('sha256', signed, signer.key).toString('binary');
  };
  certificate.sign({ sign: signature } as unknown as Forge.pki.rsa.PrivateKey, forge.md.sha256.create());
  return pki.certificateToPem(certificate);
};
