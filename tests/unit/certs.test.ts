import { describe, expect, test } from 'vitest';
import { parseExpires, requirePersonal } from '../../bin/certs/csr.ts';
import { readersOf } from '../../bin/certs/list.ts';
import { chooseRenewed } from '../../bin/certs/renew.ts';
import { chooseNames } from '../../bin/certs/rotate.ts';
import { machineProblem } from '../../bin/certs/verify.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { requestsFor } from '../../steps/certificates.ts';
import { stepsWith } from '../../steps/index.ts';
import { plainLab } from '../fixtures.ts';

const steps = stepsWith(plainLab);

test('who uses a certificate is found in the flags, fields and kubeconfigs of the components', () => {
  expect(readersOf('etcd-server', steps)).toEqual(['etcd']);
  expect(readersOf('apiserver-etcd-client', steps)).toEqual(['kube-apiserver']);
  expect(readersOf('kube-scheduler', steps)).toEqual(['kube-scheduler']); // by its kubeconfig
  expect(readersOf('admin', steps)).toEqual([]);
});

test('every certificate of the lab is used by a component, signs others, or is a client of a person or of a check', async () => {
  const requests = await requestsFor(plainLab);
  const signers = new Set(requests.flatMap(({ signer }) => signer ?? []));
  const unused = requests
    .map(({ name }) => name)
    .filter((name) => readersOf(name, steps).length === 0 && !signers.has(name));
  expect(unused.filter((name) => !/^(admin|super-admin|etcd-client)$/.test(name))).toEqual([]);
});

test('a machine with another name or address than the certificates is named, with both', () => {
  const { node } = plainLab;
  expect(machineProblem(plainLab, node.name, ['127.0.0.1', node.address])).toBeUndefined();
  expect(machineProblem(plainLab, 'other', [node.address])).toBe(
    `this machine is called other, and the certificates name ${node.name}`,
  );
  expect(machineProblem(plainLab, node.name, ['127.0.0.1', '192.0.2.9'])).toContain('it has 127.0.0.1, 192.0.2.9');
});

test('a CA that was given is neither renewed nor rotated, and what to do instead is said; those of the lab are', async () => {
  const given = { fingerprint: 'AA', certificate: '/ca.pem', key: '/ca-key.pem', ends: '2040-01-01T00:00:00.000Z' };
  const requests = await requestsFor({ ...plainLab, ca: { ...given, chain: '' } });
  const instead = { next: expect.stringContaining('hardway reset --to certificates, then hardway up --ca-cert') };
  for (const refused of [
    () => chooseNames('ca', 'ca', requests, {}),
    () => chooseNames('ca', undefined, requests, {}),
    () => chooseRenewed(requests, 'ca', {}),
  ]) {
    expect(refused).toThrow('the CA ca was given');
    expect(refused).toThrow(expect.objectContaining(instead));
  }
  expect(() => chooseNames('ca', undefined, requests, {})).toThrow(
    expect.objectContaining({ next: expect.stringContaining('hardway certs rotate ca etcd-ca|front-proxy-ca') }),
  );
  expect(chooseNames('ca', 'etcd-ca', requests, {})).toEqual(['etcd-ca']);
  expect(chooseRenewed(requests, 'apiserver', {}).map(({ name }) => name)).toEqual(['apiserver']);
});

describe('what is renewed', () => {
  const names = async (name: string | undefined, options = {}, lab = plainLab): Promise<readonly string[]> =>
    chooseRenewed(await requestsFor(lab), name, options).map((one) => one.name);
  const guide = { ...plainLab, pki: 'guide' } as const;

  test('is one certificate by its name, or all that sign nothing', async () => {
    expect(await names('apiserver')).toEqual(['apiserver']);
    const all = await names(undefined, { all: true });
    expect(all).toContain('admin');
    expect(all.filter((name) => /(^|-)ca$|^service-account$/.test(name))).toEqual([]);
  });

  test('is never a CA or the key of tokens: the command that replaces them is named', async () => {
    await expect(names('etcd-ca')).rejects.toMatchObject({ next: 'hardway certs rotate ca etcd-ca' });
    await expect(names('service-account')).rejects.toMatchObject({ next: 'hardway certs rotate service-account' });
  });

  test("is the guide's one certificate, under each of its names, but not with a new key, as that signs tokens", async () => {
    const [only = ''] = await names(undefined, { all: true }, guide);
    expect(await names('service-account', {}, guide)).toEqual([only]);
    await expect(names(only, { newKey: true }, guide)).rejects.toThrow(UserError);
    expect(await names(undefined, { all: true, newKey: true }, guide)).toEqual([]);
  });

  test('is said: a name or --all, and the nearest to a name that is none', async () => {
    await expect(names(undefined)).rejects.toThrow('or --all');
    await expect(names('admin', { all: true })).rejects.toThrow('or --all');
    await expect(names('apisever')).rejects.toThrow('did you mean apiserver');
  });
});

describe("a person's certificate", () => {
  test.each([
    ['Jane', []],
    ['system:admin', []],
    ['-x', []],
    ['', []],
    ['jane', ['system:masters']],
    ['jane', ['']],
  ])('is refused for the name %j in %j', (name, groups) => {
    expect(() => requirePersonal(name, groups)).toThrow(UserError);
  });

  test('is for a name and groups of persons, for ten minutes to a year', () => {
    expect(() => requirePersonal('jane.doe@example.org', ['developers', 'team a'])).not.toThrow();
    expect([parseExpires('10m'), parseExpires('24h'), parseExpires('365d')]).toEqual([600, 86_400, 31_536_000]);
    for (const text of ['9m', '366d', '1', 'h', '1w', '-1h']) expect(() => parseExpires(text)).toThrow(UserError);
  });
});
