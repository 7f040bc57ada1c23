import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { trustAsGiven } from '../../lib/cluster/http.ts';
import { UserError } from '../../lib/engine/errors.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { run, tryRun } from '../../lib/host/run.ts';
import { keyIdentifierOf, subjectBytes } from '../../lib/pki/der.ts';
import { readGivenCa } from '../../lib/pki/given.ts';
import { issue, type Pem, problemsOf } from '../../lib/pki/issue.ts';
import { filesIn } from '../../lib/pki/rotation.ts';
import type { CertificateRequest } from '../../lib/pki/templates.ts';
import { requestsFor } from '../../steps/certificates.ts';
import { plainLab, scratchFolder } from '../fixtures.ts';

const day = 24 * 60 * 60 * 1000;
const constraints = 'basicConstraints = critical, CA:TRUE';
const usage = 'keyUsage = critical, keyCertSign, cRLSign';
const identifiers = ['subjectKeyIdentifier = hash', 'authorityKeyIdentifier = keyid'];
const right = [constraints, usage, ...identifiers];

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
const at = (name: string) => join(scratch.path, name);
const openssl = (...args: string[]) => run('openssl', args, { cwd: scratch.path });
const text = (name: string) => readFile(at(name), 'utf8');

/** Makes a CA with openssl: a key unless there is one, and a certificate by a signer, or by itself. */
const make = async (
  name: string,
  {
    extensions = right,
    signer,
    key = `${name}-key.pem`,
    days = 3650,
    subject = `/O=Example/CN=${name}`,
  }: { extensions?: readonly string[]; signer?: string; key?: string; days?: number; subject?: string } = {},
): Promise<void> => {
  const made = await tryRun('test', ['-e', at(key)]);
  if (made.code !== 0) await openssl('genrsa', '-out', key, '2048');
  // By "pkix" a subject of ASCII is a PrintableString, as many CAs write it; ours are UTF-8.
  await writeFile(
    at('ca.cnf'),
    `[req]\nstring_mask = pkix\ndistinguished_name = dn\n[dn]\n[ext]\n${extensions.join('\n')}\n`,
  );
  await openssl(
    'req',
    '-new',
    '-config',
    'ca.cnf',
    '-key',
    key,
    '-subj',
    subject,
    '-multivalue-rdn',
    '-out',
    `${name}.csr`,
  );
  const by = signer ? ['-CA', `${signer}.pem`, '-CAkey', `${signer}-key.pem`] : ['-signkey', key];
  const ext = ['-extfile', 'ca.cnf', '-extensions', 'ext'];
  await openssl(
    ...['x509', '-req', '-in', `${name}.csr`, ...by, ...ext, '-days', String(days)],
    ...['-CAcreateserial', '-out', `${name}.pem`],
  );
};

const given = (name: string, key = `${name}-key.pem`, now?: Date) =>
  readGivenCa({ certificate: at(`${name}.pem`), key: at(key) }, now);

beforeAll(async () => {
  scratch = await scratchFolder();
  await make('root');
  await make('middle', { signer: 'root' });
  await make('lab', {
    signer: 'middle',
    subject: '/C=FR/O=Example+OU=Trust/CN=Lab CA',
    extensions: [
      'basicConstraints = critical, CA:TRUE, pathlen:0',
      usage,
      'subjectKeyIdentifier = 0A0B0C0D',
      'authorityKeyIdentifier = keyid',
    ],
  });
  await writeFile(at('chain.pem'), `${await text('lab.pem')}${await text('middle.pem')}${await text('root.pem')}`);
});
afterAll(() => scratch.remove());

describe.each([
  ['a root', 'root', []],
  ['an intermediate CA alone', 'lab', ['middle.pem', 'root.pem']],
  ['an intermediate CA with those above it', 'chain', ['root.pem']],
] as const)('the certificates of a lab under %s', (_, name, above) => {
  let lab: Lab;
  let requests: readonly CertificateRequest[];
  let pems: ReadonlyMap<string, Pem>;
  const below = () => requests.filter(({ signer }) => signer === 'ca');
  const server = () => pems.get('apiserver') as Pem;

  beforeAll(async () => {
    const key = name === 'root' ? 'root-key.pem' : 'lab-key.pem';
    const { ca, pem } = await given(name, key);
    lab = { ...plainLab, ca };
    requests = await requestsFor(lab);
    const issued = await issue(requests, new Map([['ca', { name: 'ca', ...pem }]]));
    const byName = new Map(requests.map((request) => [request.name, request]));
    pems = new Map(issued.map((one) => [one.name, filesIn(byName.get(one.name) as CertificateRequest, one, {})]));
    for (const [file, { certificate }] of pems) await writeFile(at(`out-${file}.pem`), certificate);
  });

  test('fit their requests, and the CA is the one that was given', async () => {
    for (const request of requests) {
      const ca = pems.get(request.signer ?? request.name)?.certificate ?? '';
      expect(problemsOf(request, pems.get(request.name) as Pem, ca), request.name).toEqual([]);
    }
    expect(pems.get('ca')?.certificate).toBe(new X509Certificate(await text(`${name}.pem`)).toString());
    expect(requests.filter((request) => request.given).map((request) => request.name)).toEqual(['ca']);
  });

  test('verify, strictly, for who trusts the CA, and by what a server shows for who trusts only what is above', async () => {
    const verify = async (file: string, ...args: string[]) =>
      (await tryRun('openssl', ['verify', '-x509_strict', ...args, file], { cwd: scratch.path })).stderr;
    for (const { name: one } of below())
      expect(await verify(`out-${one}.pem`, '-partial_chain', '-CAfile', 'out-ca.pem'), one).toBe('');
    await writeFile(at('above.pem'), (await Promise.all(above.map(text))).join('') || (await text('root.pem')));
    await writeFile(at('shown.pem'), server().certificate);
    expect(await verify('shown.pem', '-CAfile', 'above.pem', '-untrusted', 'shown.pem')).toBe('');
    expect(await verify('out-etcd-server.pem', '-CAfile', 'out-etcd-ca.pem')).toBe('');
    expect(await verify('out-etcd-server.pem', '-partial_chain', '-CAfile', 'out-ca.pem')).not.toBe('');
  });

  test('have the subject of the CA as their issuer byte for byte, and its key identifier', async () => {
    const ca = new X509Certificate(pems.get('ca')?.certificate ?? '');
    const wanted = keyIdentifierOf(ca.raw)?.toString('hex').toUpperCase().match(/../g)?.join(':') ?? 'none';
    for (const request of below()) {
      const { raw } = new X509Certificate(pems.get(request.name)?.certificate ?? '');
      expect(raw.indexOf(subjectBytes(ca.raw)), request.name).toBeGreaterThan(0);
      const args = ['x509', '-noout', '-ext', 'authorityKeyIdentifier', '-in', `out-${request.name}.pem`];
      expect((await openssl(...args)).stdout, request.name).toContain(wanted);
    }
  });

  test('are believed by a client that trusts the CA, as hardway does, and one that trusts the root', async () => {
    const { certificate, key } = server();
    const listening = createServer({ cert: certificate, key }, (socket) => socket.end());
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const { port } = listening.address() as { port: number };
    const shakeHands = (ca: string) =>
      new Promise((resolve) => {
        const socket = connect({ port, host: '127.0.0.1', ca, ...trustAsGiven }, () => resolve('believed'));
        socket.on('error', resolve);
        socket.resume();
      });
    expect(await shakeHands(pems.get('ca')?.certificate ?? '')).toBe('believed');
    if (name !== 'lab') expect(await shakeHands(await text('root.pem'))).toBe('believed');
    expect(await shakeHands(pems.get('etcd-ca')?.certificate ?? '')).toBeInstanceOf(Error);
    listening.close();
  });

  test('are made anew when another CA is given, and the given one never', async () => {
    const kept = await issue(requests, pems);
    expect(kept.every((pem) => pem === pems.get(pem.name))).toBe(true);
    const lost = new Map([...pems].filter(([one]) => one !== 'ca'));
    await expect(issue(requests, lost)).rejects.toThrow(
      'the CA ca was given, and is not made here: its certificate or',
    );
    const other = new Map([...pems, ['ca', { ...(pems.get('etcd-ca') as Pem), name: 'ca' }]]);
    await expect(issue(requests, other)).rejects.toThrow('it is not the certificate that was given');
  });
});

describe('a CA is refused with the file and the reason', () => {
  const refused = async (asked: Promise<unknown>, words: RegExp | string): Promise<void> => {
    const refusal = await asked.catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(UserError);
    expect((refusal as UserError).message).toMatch(words);
    expect((refusal as UserError).next).toMatch(/\S/);
  };

  test.each<[string, readonly string[], RegExp]>([
    [
      'is no CA',
      ['basicConstraints = critical, CA:FALSE', ...identifiers],
      /bad\.pem: it is not of a CA: its basicConst/,
    ],
    ['has no basicConstraints', [usage, ...identifiers], /it is not of a CA/],
    [
      'has basicConstraints that are not critical',
      ['basicConstraints = CA:TRUE', usage, ...identifiers],
      /not critical/,
    ],
    ['may not sign', [constraints, 'keyUsage = critical, cRLSign', ...identifiers], /its keyUsage has no keyCertSign/],
    ['has no keyUsage', [constraints, ...identifiers], /its keyUsage has no keyCertSign/],
    ['has no key identifier', [constraints, usage, 'subjectKeyIdentifier = none'], /no subjectKeyIdentifier/],
    ['is only for some names', [...right, 'nameConstraints = permitted;DNS:.lab.test'], /it has nameConstraints/],
    ['is only for e-mail', [...right, 'extendedKeyUsage = emailProtection'], /its extendedKeyUsage is not both/],
    ['is only for servers', [...right, 'extendedKeyUsage = serverAuth'], /its extendedKeyUsage is not both/],
  ])('that %s', async (_, extensions, words) => {
    await make('bad', { extensions, key: 'root-key.pem' });
    await refused(given('bad', 'root-key.pem'), words);
  });

  test('that is for servers and clients is not refused', async () => {
    await make('both', { extensions: [...right, 'extendedKeyUsage = serverAuth, clientAuth'], key: 'root-key.pem' });
    expect((await given('both', 'root-key.pem')).ca.chain).toBe('');
  });

  test('that has expired, and one that is not valid yet', async () => {
    await refused(
      given('root', undefined, new Date(Date.now() + 3651 * day)),
      /root\.pem: it expired on 20.*the clock of/,
    );
    await refused(given('root', undefined, new Date(Date.now() - 2 * day)), /root\.pem: it is valid only from 20/);
  });

  test('that expires while it is in use is not made anew, and neither is what it signs beyond its end', async () => {
    await make('short', { days: 20 });
    const { ca, pem } = await given('short');
    const requests = await requestsFor({ ...plainLab, ca });
    const issued = await issue(requests, new Map([['ca', { name: 'ca', ...pem }]]));
    const pems = new Map(issued.map((one) => [one.name, one]));
    const { validTo } = new X509Certificate(pem.certificate);
    expect(new X509Certificate(pems.get('apiserver')?.certificate ?? '').validTo).toBe(validTo);
    expect((await issue(requests, pems)).every((one) => one === pems.get(one.name))).toBe(true);
    const late = { now: new Date(Date.now() + 21 * day) };
    await refused(issue(requests, pems, late), /the CA ca expired on/);
    await expect(issue(requests, pems, late)).rejects.toMatchObject({
      next: expect.stringContaining('hardway reset --to certificates, then hardway up --ca-cert'),
    });
  });

  test('with the key of another, one that is encrypted, none, and one that others can read', async () => {
    await refused(
      given('root', 'middle-key.pem'),
      /middle-key\.pem: it is not the key of the certificate in .*root\.pem/,
    );
    await openssl('pkey', '-in', 'root-key.pem', '-aes256', '-passout', 'pass:secret', '-out', 'locked.pem');
    await refused(given('root', 'locked.pem'), /it is encrypted/);
    await refused(given('root', 'nowhere.pem'), /nowhere\.pem is missing/);
    await writeFile(at('empty.pem'), '', { mode: 0o600 });
    await refused(given('root', 'empty.pem'), /no private key in PEM/);
    await writeFile(at('open.pem'), await text('root-key.pem'));
    await chmod(at('open.pem'), 0o644);
    await refused(given('root', 'open.pem'), /open\.pem: others can read it: it has the mode 0644/);
    await chmod(at('open.pem'), 0o640);
    await refused(given('root', 'open.pem'), /0640/);
  });

  test('that others may change', async () => {
    await writeFile(at('writable.pem'), await text('root.pem'));
    await chmod(at('writable.pem'), 0o666);
    await refused(given('writable', 'root-key.pem'), /writable\.pem is not used: others than root may change/);
  });

  test('whose files hold something else: a key in place of the certificate, DER, nothing, garbage', async () => {
    await writeFile(at('swapped.pem'), await text('root-key.pem'));
    await refused(given('swapped', 'root-key.pem'), /swapped\.pem: it holds a private key/);
    await openssl('x509', '-in', 'root.pem', '-outform', 'der', '-out', 'der.pem');
    await refused(given('der', 'root-key.pem'), /no certificate in PEM/);
    await writeFile(at('garbage.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    await refused(given('garbage', 'root-key.pem'), /cannot be read/);
    await refused(given('nowhere', 'root-key.pem'), /nowhere\.pem is missing/);
    await mkdir(at('folder.pem'));
    await refused(given('folder', 'root-key.pem'), /folder\.pem is a folder, not a file/);
  });

  test('with a key other than RSA, and one of too few bits', async () => {
    await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'ec-key.pem');
    await make('ec', { key: 'ec-key.pem' });
    await refused(given('ec', 'ec-key.pem'), /ec\.pem: its key is of the type ec: hardway signs with RSA only/);
    await openssl('genrsa', '-out', 'weak-key.pem', '1024');
    await make('weak', { key: 'weak-key.pem' });
    await refused(given('weak', 'weak-key.pem'), /its key has 1024 bits/);
  });

  test('with something behind it that is not above it: another order, a path that is too long, one that is no CA', async () => {
    await writeFile(at('jumbled.pem'), `${await text('lab.pem')}${await text('root.pem')}${await text('middle.pem')}`);
    await refused(given('jumbled', 'lab-key.pem'), /the certificate 2 in it \(O=Example, CN=root\) has not signed/);
    await make('flat', { extensions: ['basicConstraints = critical, CA:TRUE, pathlen:0', usage, ...identifiers] });
    await make('under', { signer: 'flat', key: 'lab-key.pem' });
    await writeFile(at('deep.pem'), `${await text('under.pem')}${await text('flat.pem')}`);
    await refused(given('deep', 'lab-key.pem'), /CN=flat\) has the path length 0, and 1 CAs are below it/);
    await make('leaf', { extensions: ['basicConstraints = critical, CA:FALSE', ...identifiers] });
    await make('false', { signer: 'leaf', key: 'lab-key.pem' });
    await writeFile(at('broken.pem'), `${await text('false.pem')}${await text('leaf.pem')}`);
    await refused(given('broken', 'lab-key.pem'), /CN=leaf\) is not of a CA that may sign/);
  });
});
