import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { UserError } from '../../lib/engine/errors.ts';
import { requireClock } from '../../lib/pki/clock.ts';
import { issue, type Pem, problemsOf } from '../../lib/pki/issue.ts';
import { type CertificateRequest, readProfile, readTemplate } from '../../lib/pki/templates.ts';

const variables = {
  node: 'kubernetes',
  address: '10.240.0.10',
  apiServiceAddress: '10.32.0.1',
  domain: 'cluster.local',
};
const day = 24 * 60 * 60 * 1000;

const byName = (pems: readonly Pem[]) => new Map(pems.map((pem) => [pem.name, pem]));
const find = <T extends { name: string }>(items: readonly T[], name: string): T => {
  const item = items.find((candidate) => candidate.name === name);
  if (!item) throw new Error(`no ${name}`);
  return item;
};

describe('a template', () => {
  const read = (yaml: string) => readTemplate('x.yaml', yaml, variables);

  test('has its variables filled in wherever they stand', async () => {
    const template = await read(
      'CN: system:node:{{node}}\nnames: [{ O: "{{ domain }}" }]\nhosts: ["{{address}}", "a.{{domain}}"]',
    );
    expect(template).toMatchObject({
      CN: 'system:node:kubernetes',
      names: [{ O: 'cluster.local' }],
      hosts: ['10.240.0.10', 'a.cluster.local'],
    });
  });

  test('names a host once, also when the node is called as the Service is', async () => {
    expect((await read('hosts: [kubernetes, "{{node}}"]')).hosts).toEqual(['kubernetes']);
  });

  test.each(['a', 'A-1.b', '10.240.0.1', '::1', '2001:db8::7', `${'a'.repeat(63)}.test`, '007'])(
    'names the host %s',
    async (host) => {
      expect((await read(`hosts: ["${host}"]`)).hosts).toEqual([host]);
    },
  );

  test.each([
    ...[
      'a..b',
      '.a',
      'a.',
      '-a',
      'a-',
      'a_b',
      '*.a',
      'a:b',
      ':::',
      '::1%lo',
      '::ffff:10.0.0.1',
      '10.240.0.300',
      '1.2.3',
    ],
    ...['10.0.0.0/8', `${'a'.repeat(64)}.test`, Array.from({ length: 52 }, () => 'abcd').join('.')],
  ])('does not name the host %s', async (host) => {
    await expect(read(`hosts: ["${host}"]`)).rejects.toThrow('x.yaml:1: hosts[0]: is neither a DNS name nor an IP');
  });

  test.each([
    [
      'an unknown variable',
      'CN: a\nhosts: [a, "{{nod}}"]',
      'x.yaml:2: hosts[1]: no variable is called "nod"; there are node, ',
    ],
    ['a variable on a line of its own', 'hosts:\n  - a\n  - "{{nod}}"', 'x.yaml:3: hosts[1]: no variable'],
    ['an unknown field', '# a\n\nCM: a', 'x.yaml:3: CM: '],
    ['an unknown part of a name', 'CN: a\nnames: [{ X: y }]', 'x.yaml:2: names[0].X: '],
    ['a usage that does not exist', 'usages: [server aut]', 'x.yaml:1: usages[0]: '],
    ['a host that is none', 'hosts: ["a b"]', 'x.yaml:1: hosts[0]: is neither a DNS name nor an IP address'],
    ['a key of too few bits', 'key: { algo: rsa,\n  size: 1024 }', 'x.yaml:2: key.size: '],
    ['a country that is none', 'CN: a\nnames: [{ C: Fr }]', 'x.yaml:2: names[0].C: is not the code of a country'],
    ['an organisation that is too long', `names: [{ O: ${'a'.repeat(65)} }]`, 'x.yaml:1: names[0].O: '],
    ['an alias that leads nowhere', 'CN: *a', 'x.yaml:1: this is not YAML'],
    ['years that are no number', 'CN: a\nyears: soon', 'x.yaml:2: years: '],
    ['text that is not YAML', 'CN: a\nhosts: [', 'x.yaml:2: this is not YAML'],
    ['an empty file', '', 'x.yaml:1: '],
  ])('with %s is refused with the file, the line and the field', async (_, yaml, words) => {
    const refusal = await read(yaml).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(UserError);
    expect(refusal).toMatchObject({ next: 'correct x.yaml, then run hardway again' });
    expect((refusal as UserError).message).toContain(words);
  });
});

describe.each(['components', 'guide'] as const)('the profile %s', (profile) => {
  test('has a file for every name that the steps use', async () => {
    const names = (await readProfile(profile, variables)).flatMap(({ name, also }) => [name, ...also]);
    expect(names.sort()).toEqual([
      'admin',
      'apiserver',
      'apiserver-etcd-client',
      'apiserver-kubelet-client',
      'ca',
      'etcd-ca',
      'etcd-client',
      'etcd-server',
      'front-proxy-ca',
      'front-proxy-client',
      'kube-controller-manager',
      'kube-controller-manager-server',
      'kube-proxy',
      'kube-scheduler',
      'kube-scheduler-server',
      'kubelet',
      'kubelet-server',
      'service-account',
      'super-admin',
    ]);
  });
});

describe('a set of certificates', () => {
  let requests: readonly CertificateRequest[];
  let pems: readonly Pem[];
  const problems = (name: string, changed: { request?: object; pem?: Partial<Pem>; ca?: string; now?: Date } = {}) => {
    const request = find(requests, name);
    const ca = find(pems, changed.ca ?? request.signer ?? name).certificate;
    return problemsOf({ ...request, ...changed.request }, { ...find(pems, name), ...changed.pem }, ca, changed.now);
  };
  /** Names of what `issue` makes anew from the set. */
  const remade = async (wanted: readonly CertificateRequest[], existing: readonly Pem[], now?: Date) => {
    const issued = await issue(wanted, byName(existing), { now });
    return issued.filter((pem) => !existing.includes(pem)).map(({ name }) => name);
  };

  beforeAll(async () => {
    requests = await readProfile('components', variables);
    pems = await issue(requests, new Map());
  });

  test('fits its own requests, one by one', () => {
    for (const { name } of requests) expect(problems(name), name).toEqual([]);
  });

  test('is kept as it is when nothing changed', async () => {
    expect(await remade(requests, pems)).toEqual([]);
  });

  test('is not fit for a host that it does not name', () => {
    expect(problems('apiserver', { request: { hosts: ['127.0.0.1', '10.9.9.9', 'other'] } })).toEqual([
      'its SANs lack 10.9.9.9, other',
    ]);
  });

  test('is not fit when it names a host that nobody asked for', () => {
    const [problem] = problems('kubelet-server', { request: { hosts: ['127.0.0.1'] } });
    expect(problem).toBe('its SANs name others too: DNS:kubernetes, IP Address:10.240.0.10, IP Address:127.0.0.1');
  });

  test('is not fit for another subject', () => {
    expect(problems('kubelet', { request: { CN: 'system:node:other' } })).toEqual([
      'its subject is O=system:nodes, CN=system:node:kubernetes instead of O=system:nodes, CN=system:node:other',
    ]);
  });

  test('is not fit for another use', () => {
    expect(problems('admin', { request: { usages: ['server auth'] } })).toEqual(['it is not made for server auth']);
  });

  test('is not fit under another CA', () => {
    expect(problems('admin', { ca: 'etcd-ca' })).toEqual(['it is not signed by ca']);
  });

  test('is not fit with the private key of another', () => {
    const { key } = find(pems, 'kubelet');
    expect(problems('admin', { pem: { key } })).toEqual(['its private key is that of another certificate']);
    expect(problems('service-account', { pem: { key } })).toEqual(['its public key is not that of its private key']);
  });

  test('is not fit with a key of another size, or with another validity', () => {
    const key = { algo: 'rsa', size: 3072 };
    expect(problems('admin', { request: { key } })).toEqual(['its key has 2048 bits instead of 3072']);
    expect(problems('service-account', { request: { key } })).toEqual(['its key has 2048 bits instead of 3072']);
    const [, to] = ((pem) => [pem.validFromDate, pem.validToDate])(
      new X509Certificate(find(pems, 'admin').certificate),
    );
    expect(problems('admin', { request: { years: 2 } })[0]).toContain(`it ends on ${to.toISOString()} instead of `);
    expect(problems('admin', { request: { days: 90 } })[0]).toContain(`it ends on ${to.toISOString()} instead of `);
    expect(problems('admin', { request: { days: 365 } })).toEqual([]);
  });

  test('is not fit when it cannot be read', () => {
    expect(problems('admin', { pem: { certificate: 'x' } })).toEqual(['it cannot be read as a certificate']);
    expect(problems('admin', { pem: { key: 'x' } })).toEqual(['its private key cannot be read']);
  });

  test('is not fit when it has expired, is about to, or is not valid yet', () => {
    const [from, to] = ((pem) => [pem.validFromDate, pem.validToDate])(
      new X509Certificate(find(pems, 'admin').certificate),
    );
    const at = (time: number) => problems('admin', { now: new Date(time) });
    expect(at(to.getTime())).toEqual([
      `it expired on ${to.toISOString()}, and the clock of this machine says ${to.toISOString()}: set it if that is wrong`,
    ]);
    expect(at(to.getTime() - 29 * day)).toEqual([`it expires on ${to.toISOString()}, in less than 30 days`]);
    expect(at(to.getTime() - 31 * day)).toEqual([]);
    const early = new Date(from.getTime() - 1000);
    expect(at(early.getTime())).toEqual([
      `it is valid only from ${from.toISOString()}, and the clock of this machine says ${early.toISOString()}: set it if that is wrong`,
    ]);
  });

  test('has only those made anew that name a changed address', async () => {
    const moved = await readProfile('components', { ...variables, address: '10.240.0.11' });
    expect(await remade(moved, pems)).toEqual(['apiserver', 'etcd-server', 'kubelet-server']);
  });

  test('has what is missing made anew', async () => {
    expect(
      await remade(
        requests,
        pems.filter(({ name }) => name !== 'kubelet'),
      ),
    ).toEqual(['kubelet']);
  });

  test('has everything that a new CA signs made anew with it, and nothing else', async () => {
    const damaged = pems.map((pem) => (pem.name === 'etcd-ca' ? { ...pem, key: '' } : pem));
    expect(await remade(requests, damaged)).toEqual(['etcd-ca', 'apiserver-etcd-client', 'etcd-client', 'etcd-server']);
  });

  test('has its leaves, not its CAs, made anew after a year', async () => {
    const renewed = await remade(requests, pems, new Date(Date.now() + 366 * day));
    const kept = requests.map(({ name }) => name).filter((name) => !renewed.includes(name));
    expect(kept).toEqual(['ca', 'etcd-ca', 'front-proxy-ca', 'service-account']);
  });

  test.each([
    ['ten years back, as after a boot without a real-time clock', -10 * 365 * day, 'the clock is wrong'],
    ['eleven years ahead', 11 * 365 * day, 'the CA ca expired on'],
  ])('has no CA made anew by a clock that is %s: it is said, with the way out', async (_, off, words) => {
    const now = new Date(Date.now() + off);
    const refusal = await issue(requests, byName(pems), { now }).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(UserError);
    expect((refusal as UserError).message).toContain(`the clock of this machine says ${now.toISOString()}`);
    expect((refusal as UserError).message).toContain(words);
    expect((refusal as UserError).next).toMatch(/date -s.*if the clock is right: rm .*\/ca\.pem/);
  });

  test('has no leaf that outlives its CA', async () => {
    const late = new Date(Date.now() + (10 * 365 - 60) * day);
    const issued = await issue(requests, byName(pems), { now: late });
    const endOf = (name: string) => new X509Certificate(find(issued, name).certificate).validTo;
    expect(endOf('admin')).toBe(endOf('ca'));
  });
});

describe('the clock', () => {
  test('of a machine is refused when it is behind the day on which hardway was installed', async () => {
    await expect(requireClock({ now: new Date('2016-01-01T00:00:00Z') })).rejects.toThrow(
      /the clock of this machine says 2016-01-01T00:00:00\.000Z, but hardway was installed on 20/,
    );
    await expect(requireClock()).resolves.toBeUndefined();
  });
});
