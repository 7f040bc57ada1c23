import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import forge from 'node-forge';

const { pki } = forge;
const day = 24 * 60 * 60 * 1000;

interface Signed {
  readonly cert: string;
  readonly key: string;
}

const keys = pki.rsa.generateKeyPair({ bits: 2048 });

/** Makes a certificate for these names or addresses, valid from and to some days from now, signed by a CA of the test. */
export const certificateFor = (
  names: readonly string[],
  {
    from = -1,
    to = 1,
    of = 'ca',
  }: { readonly from?: number; readonly to?: number; readonly of?: 'ca' | 'unknown' } = {},
): Signed => {
  const cert = pki.createCertificate();
  cert.publicKey = keys.publicKey;
  cert.serialNumber = `0${Math.floor(Math.random() * 1e12)}`;
  cert.validity.notBefore = new Date(Date.now() + from * day);
  cert.validity.notAfter = new Date(Date.now() + to * day);
  cert.setSubject([{ name: 'commonName', value: names[0] ?? 'nobody' }]);
  cert.setIssuer([{ name: 'commonName', value: `hardway test ${of}` }]);
  const altNames = names.map((name) => (/^[\d.]+$/.test(name) ? { type: 7, ip: name } : { type: 2, value: name }));
  cert.setExtensions([{ name: 'subjectAltName', altNames }]);
  cert.sign(keys.privateKey, forge.md.sha256.create());
  return { cert: pki.certificateToPem(cert), key: pki.privateKeyToPem(keys.privateKey) };
};

/** Certificate of the CA that signs them. */
export const authority = (): string => {
  const cert = pki.createCertificate();
  cert.publicKey = keys.publicKey;
  cert.serialNumber = '01';
  cert.validity.notBefore = new Date(Date.now() - 1000 * day);
  cert.validity.notAfter = new Date(Date.now() + 1000 * day);
  const name = [{ name: 'commonName', value: 'hardway test ca' }];
  cert.setSubject(name);
  cert.setIssuer(name);
  cert.setExtensions([{ name: 'basicConstraints', cA: true, critical: true }]);
  cert.sign(keys.privateKey, forge.md.sha256.create());
  return pki.certificateToPem(cert);
};

/** A site on loopback with this certificate; `asked` counts connections. */
export const serveTls = async (signed: Signed) => {
  let connections = 0;
  const server = createServer(signed, (_request, response) => response.end('hello'));
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: () => connections,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
};
