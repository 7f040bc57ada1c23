import { X509Certificate } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { run, tryRun } from '../../lib/host/run.ts';
import { issue, type Pem, problemsOf } from '../../lib/pki/issue.ts';
import { kubeconfig } from '../../lib/pki/kubeconfig.ts';
import { opensslCommands } from '../../lib/pki/openssl.ts';
import { asRotated, successorOf } from '../../lib/pki/rotation.ts';
import { type CertificateRequest, endAfter, isAuthority, readProfile } from '../../lib/pki/templates.ts';
import { scratchFolder } from '../fixtures.ts';
import { coldCache, labBinaries } from './lab-binaries.ts';

const variables = { node: 'lab-1', address: '10.240.0.10', apiServiceAddress: '10.32.0.1', domain: 'cluster.local' };
/** A person's own for some of them: keys, validity, names with every character that means something to openssl. */
const own = {
  ca: { CN: 'École « Lab » CA', names: [{ C: 'FR', L: 'Pessac', O: `A $b #c "d" \\e 'f'` }], years: 40 },
  'etcd-ca': { days: 400, key: { size: 3072 } },
  apiserver: {
    CN: 'api.{{domain}}',
    hosts: ['api.lab.test', '2001:db8::7', '{{node}}'],
    years: 3,
    key: { size: 3072 },
  },
  kubelet: { names: [{ C: 'DE', OU: 'Übung' }], days: 90 },
  'service-account': { key: { size: 3072 } },
};
const sets = {
  components: ['components', {}],
  guide: ['guide', {}],
  own: ['components', own],
} as const;
const profiles = ['components', 'guide', 'own'] as const;

const folders = new Map<string, string>();
const requests = new Map<string, readonly CertificateRequest[]>();
const pems = new Map<string, readonly Pem[]>();

beforeAll(async () => {
  const scratch = await scratchFolder();
  for (const profile of profiles) {
    const [shipped, templates] = sets[profile];
    const wanted = await readProfile(shipped, variables, templates);
    const issued = await issue(wanted, new Map());
    const folder = join(scratch.path, profile);
    await mkdir(folder);
    for (const { name, certificate, key } of issued) {
      await writeFile(join(folder, `${name}.pem`), certificate);
      await writeFile(join(folder, `${name}-key.pem`), key, { mode: 0o600 });
    }
    folders.set(profile, folder);
    requests.set(profile, wanted);
    pems.set(profile, issued);
  }
  return scratch.remove;
});

describe.each(profiles)('openssl on the profile %s', (profile) => {
  const openssl = (...args: string[]) => run('openssl', args, { cwd: folders.get(profile) ?? '' });
  const verify = (ca: string, leaf: string, ...args: string[]) =>
    tryRun('openssl', ['verify', '-x509_strict', '-CAfile', `${ca}.pem`, ...args, `${leaf}.pem`], {
      cwd: folders.get(profile) ?? '',
    });
  const all = () => requests.get(profile) ?? [];
  const certificates = () => all().filter(({ CN }) => CN !== undefined);
  const authorities = () => all().filter(isAuthority);
  const leaves = () => all().filter(({ signer }) => signer !== undefined);

  test('verifies every certificate, strictly, against its own CA and no other', async () => {
    for (const { name, signer = name } of certificates()) {
      for (const { name: ca } of authorities()) {
        const { code, stderr } = await verify(ca, name);
        expect(code === 0, `${name} against ${ca}: ${stderr}`).toBe(ca === signer);
      }
    }
  });

  test('verifies every leaf for its purposes and for no other', async () => {
    for (const { name, signer = '', usages } of leaves()) {
      for (const [purpose, usage] of [
        ['sslserver', 'server auth'],
        ['sslclient', 'client auth'],
      ] as const) {
        const { code, stderr } = await verify(signer, name, '-purpose', purpose);
        expect(code === 0, `${name} as ${purpose}: ${stderr}`).toBe(usages.includes(usage));
      }
    }
  });

  test('verifies every host of a certificate, and no other', async () => {
    for (const { name, signer = '', hosts } of leaves()) {
      for (const host of hosts) {
        const { code, stderr } = await verify(signer, name, isIP(host) ? '-verify_ip' : '-verify_hostname', host);
        expect(code, `${name} for ${host}: ${stderr}`).toBe(0);
      }
      if (hosts.length > 0) expect((await verify(signer, name, '-verify_ip', '10.9.9.9')).code, name).not.toBe(0);
    }
  });

  test('finds the names of the API server', async () => {
    const name = profile === 'guide' ? 'admin' : 'apiserver';
    const { stdout } = await openssl('x509', '-noout', '-ext', 'subjectAltName', '-in', `${name}.pem`);
    const added = profile === 'own' ? ['DNS:api.lab.test', 'IP Address:2001:DB8:0:0:0:0:0:7'] : [];
    const wanted = [
      'DNS:kubernetes',
      'DNS:kubernetes.default',
      'DNS:kubernetes.default.svc',
      'DNS:kubernetes.default.svc.cluster.local',
      'DNS:lab-1',
      'DNS:localhost',
      'IP Address:10.240.0.10',
      'IP Address:10.32.0.1',
      'IP Address:127.0.0.1',
    ];
    expect(stdout.trim().split('\n')[1]?.trim().split(', ').sort()).toEqual([...wanted, ...added].sort());
  });

  test('finds in each certificate RSA of its size, SHA-256, both key identifiers, critical constraints and usages', async () => {
    for (const { name, signer = name, key } of certificates()) {
      const { stdout } = await openssl('x509', '-noout', '-text', '-in', `${name}.pem`);
      const { stdout: ca } = await openssl('x509', '-noout', '-ext', 'subjectKeyIdentifier', '-in', `${signer}.pem`);
      expect(stdout).toContain('Version: 3');
      expect(stdout).toContain(`Public-Key: (${key.size} bit)`);
      expect(stdout.match(/sha256WithRSAEncryption/g)).toHaveLength(2);
      expect(stdout).toContain('X509v3 Basic Constraints: critical');
      expect(stdout).toContain('X509v3 Key Usage: critical');
      expect(stdout).toContain('X509v3 Subject Key Identifier');
      const authority = ca.trim().split('\n')[1]?.trim() ?? 'no identifier';
      expect(stdout.split('X509v3 Authority Key Identifier:')[1], name).toContain(authority);
    }
  });

  test('finds serial numbers that are positive, long and all different', async () => {
    const serials = await Promise.all(
      certificates().map(async ({ name }) => (await openssl('x509', '-noout', '-serial', '-in', `${name}.pem`)).stdout),
    );
    for (const serial of serials) expect(serial).toMatch(/^serial=[4-7][0-9A-F]{31}$/);
    expect(new Set(serials).size).toBe(serials.length);
  });

  test('finds certificates that are valid for a slow clock too, and as long as their templates say', async () => {
    const minute = 60 * 1000;
    for (const request of certificates()) {
      const { name, years } = request;
      const pem = pems.get(profile)?.find((candidate) => candidate.name === name);
      const { validFromDate, validToDate } = new X509Certificate(pem?.certificate ?? '');
      expect(validFromDate.getTime()).toBeLessThanOrEqual(Date.now() - 5 * minute);
      const wanted = endAfter(validFromDate, request).getTime();
      expect(Math.abs(validToDate.getTime() - wanted), name).toBeLessThanOrEqual(10 * minute);
      if (profile !== 'own') expect(years).toBe(name.endsWith('ca') ? 10 : 1);
      expect(
        (
          await verify(
            all().find((one) => one.name === name)?.signer ?? name,
            name,
            '-attime',
            String(Math.floor(Date.now() / 1000) - 240),
          )
        ).code,
      ).toBe(0);
    }
  });

  test('finds each private key to be that of its certificate', async () => {
    for (const { name, CN } of all()) {
      const { stdout: ofKey } = await openssl('pkey', '-pubout', '-in', `${name}-key.pem`);
      const { stdout: held } = CN
        ? await openssl('x509', '-noout', '-pubkey', '-in', `${name}.pem`)
        : await openssl('pkey', '-pubin', '-in', `${name}.pem`);
      expect(ofKey, name).toBe(held);
    }
  });
});

test('by hand openssl makes each certificate of one’s own with the same subject, names, size and end', async () => {
  const scratch = await scratchFolder();
  const folder = folders.get('own') ?? '';
  const wanted = requests.get('own') ?? [];
  const script = wanted.flatMap((request) => opensslCommands(request)).join('\n');
  await run('sh', ['-euc', script], { cwd: scratch.path });
  for (const request of wanted) {
    const read = (name: string) => readFile(join(scratch.path, name), 'utf8');
    const { name, signer = name } = request;
    const pem = { name, certificate: await read(`${name}.pem`), key: await read(`${name}-key.pem`) };
    expect(problemsOf(request, pem, await read(`${signer}.pem`)), name).toEqual([]);
    const args = ['x509', '-noout', '-subject', '-nameopt', 'utf8,show_type,sep_multiline', '-in', `${name}.pem`];
    if (request.CN === undefined) continue;
    const [ours, byHand] = await Promise.all([folder, scratch.path].map((cwd) => run('openssl', args, { cwd })));
    expect(byHand?.stdout, name).toBe(ours?.stdout);
  }
  await scratch.remove();
});

test('the guide’s subject keeps its accents, as UTF-8', async () => {
  const args = ['x509', '-noout', '-subject', '-nameopt', 'utf8,show_type,sep_comma_plus', '-in', 'admin.pem'];
  const { stdout } = await run('openssl', args, { cwd: folders.get('guide') ?? '' });
  expect(stdout).toBe(
    'subject=C=PRINTABLESTRING:FR,ST=UTF8STRING:Nouvelle Aquitaine,L=UTF8STRING:Pessac,O=UTF8STRING:system:masters,OU=UTF8STRING:Démystifions Kubernetes,CN=UTF8STRING:admin',
  );
});

describe('a kubeconfig', () => {
  const written = () => {
    const find = (name: string) =>
      pems.get('components')?.find((pem) => pem.name === name) ?? { certificate: '', key: '' };
    return { admin: find('admin'), ca: find('ca') };
  };
  const text = () => {
    const { admin, ca } = written();
    return kubeconfig({ server: 'https://127.0.0.1:6443', ca: ca.certificate, user: 'admin', ...admin });
  };
  const decode = (base64: string) => Buffer.from(base64, 'base64').toString();

  test('holds server, CA, certificate and key, and names its context', () => {
    const { admin, ca } = written();
    const config = parse(text());
    expect(config).toMatchObject({ apiVersion: 'v1', kind: 'Config', 'current-context': 'admin@hardway' });
    expect(config.contexts).toEqual([{ name: 'admin@hardway', context: { cluster: 'hardway', user: 'admin' } }]);
    expect(config.clusters[0].cluster.server).toBe('https://127.0.0.1:6443');
    expect(decode(config.clusters[0].cluster['certificate-authority-data'])).toBe(ca.certificate);
    expect(decode(config.users[0].user['client-certificate-data'])).toBe(admin.certificate);
    expect(decode(config.users[0].user['client-key-data'])).toBe(admin.key);
  });

  test('is one that kubectl reads', { timeout: coldCache }, async () => {
    const kubectl = (await labBinaries()).get('kubectl') ?? '';
    const file = join(folders.get('components') ?? '', 'admin.conf');
    await writeFile(file, text(), { mode: 0o600 });
    const { stdout } = await run(kubectl, ['--kubeconfig', file, 'config', 'view', '--minify', '-o', 'json']);
    expect(JSON.parse(stdout).clusters[0].cluster.server).toBe('https://127.0.0.1:6443');
  });
});

test('a certificate of a new CA is verified, strictly, by who knows only the old CA and is shown the way, and not without it', async () => {
  const scratch = await scratchFolder();
  const wanted = await readProfile('components', variables);
  const before = new Map((await issue(wanted, new Map())).map((pem) => [pem.name, pem]));
  const ca = wanted.find(({ name }) => name === 'ca');
  const held = before.get('ca');
  if (!ca || !held) throw new Error('the profile has no CA');
  const rotation = { ca: { ...(await successorOf(ca, held)), stage: 'sign' as const } };
  const server = (await issue(wanted, asRotated(before, rotation))).find(({ name }) => name === 'apiserver');
  const files = {
    old: rotation.ca.old,
    new: rotation.ca.certificate,
    way: rotation.ca.cross,
    server: server?.certificate,
  };
  for (const [name, pem] of Object.entries(files)) await writeFile(join(scratch.path, `${name}.pem`), pem ?? '');
  const verify = async (...args: string[]): Promise<number> =>
    (await tryRun('openssl', ['verify', '-x509_strict', ...args, 'server.pem'], { cwd: scratch.path })).code;
  expect(await verify('-CAfile', 'new.pem')).toBe(0);
  expect(await verify('-CAfile', 'old.pem', '-untrusted', 'way.pem')).toBe(0);
  expect(await verify('-CAfile', 'old.pem')).not.toBe(0);
  await scratch.remove();
});
