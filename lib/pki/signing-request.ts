import type Forge from 'node-forge';

/**
 * Makes a certificate signing request (PKCS #10, RFC 2986), as PEM: the subject, in this order, and the public key of a
 * private key, signed with it by SHA-256.
 */
export const makeSigningRequest = async (
  privateKey: string,
  subject: readonly { readonly part: string; readonly value: string }[],
): Promise<string> => {
  const { default: forge } = await import('node-forge');
  const { asn1, md, pki } = forge;
  const key = pki.privateKeyFromPem(privateKey);
  const request = pki.createCertificationRequest();
  request.publicKey = pki.setRsaPublicKey(key.n, key.e);
  request.setSubject(
    subject.map(({ part, value }) => ({
      shortName: part,
      value,
      valueTagClass: asn1.Type.UTF8 as unknown as Forge.asn1.Class, // as in make.ts
    })),
  );
  request.sign(key, md.sha256.create());
  return pki.certificationRequestToPem(request);
};
