import { chmod, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UserError } from '../../lib/engine/errors.ts';
import type { Lab, PkiProfile } from '../../lib/engine/lab.ts';
import { earlyEnds, ownTemplatesFor, requestsFor } from '../../steps/certificates.ts';
import { plainLab, scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeAll(async () => {
  scratch = await scratchFolder();
});
afterAll(() => scratch.remove());

const day = 24 * 60 * 60 * 1000;

/** Writes these files into a new folder. */
const folderWith = async (files: Readonly<Record<string, string>>): Promise<string> => {
  const folder = await mkdtemp(join(scratch.path, 'templates-'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
};

/** The certificates of a lab with these templates, by name. */
const requestsWith = async (files: Readonly<Record<string, string>>, lab: Lab = plainLab) => {
  const templates = await ownTemplatesFor(lab, await folderWith(files));
  const requests = await requestsFor({ ...lab, templates });
  return (name: string) => requests.find((request) => request.name === name);
};

describe('templates of one’s own', () => {
  test('change names, validity and key of a certificate, and leave everything else as it is', async () => {
    const own = await requestsWith({
      'apiserver.yaml': 'CN: api.{{domain}}\nnames: [{ C: FR, O: École }]\nyears: 2\nkey: { algo: rsa, size: 4096 }\n',
      'README.md': 'not a template',
    });
    const ours = await requestsFor(plainLab);
    expect(own('apiserver')).toEqual({
      ...ours.find(({ name }) => name === 'apiserver'),
      CN: 'api.cluster.local',
      names: [{ C: 'FR', O: 'École' }],
      years: 2,
      key: { algo: 'rsa', size: 4096 },
    });
    for (const request of ours) if (request.name !== 'apiserver') expect(own(request.name)).toEqual(request);
  });

  test('add hosts to those by which the components reach each other, each once', async () => {
    const own = await requestsWith({ 'apiserver.yaml': 'hosts: [api.lab.test, localhost, "{{node}}.lab.test"]' });
    const hosts = own('apiserver')?.hosts ?? [];
    expect(hosts).toEqual(expect.arrayContaining(['127.0.0.1', '10.32.0.1', 'api.lab.test', 'lab-1.lab.test']));
    expect(hosts.filter((host) => host === 'localhost')).toHaveLength(1);
  });

  test('leave a client its user and its groups, beside the parts that are one’s own', async () => {
    const own = await requestsWith({ 'kubelet.yaml': 'names: [{ C: FR, L: Pessac }]\ndays: 90' });
    expect(own('kubelet')).toMatchObject({
      CN: 'system:node:lab-1',
      names: [{ O: 'system:nodes' }, { C: 'FR', L: 'Pessac' }],
      days: 90,
    });
  });

  test('are kept in the lab as they are written, so that their variables follow the machine', async () => {
    const templates = await ownTemplatesFor(plainLab, await folderWith({ 'apiserver.yaml': 'CN: "{{node}}"' }));
    expect(templates).toEqual({ apiserver: { CN: '{{node}}' } });
    const moved = await requestsFor({ ...plainLab, templates, node: { ...plainLab.node, name: 'lab-2' } });
    expect(moved.find(({ name }) => name === 'apiserver')?.CN).toBe('lab-2');
  });

  test('stay right when the end of a given CA has come nearer', async () => {
    const ends = (days: number) => ({
      ...{ fingerprint: 'AA', certificate: '/root/ca.pem', key: '/root/ca-key.pem', chain: '' },
      ends: new Date(Date.now() + days * day).toISOString(),
    });
    const folder = await folderWith({ 'apiserver.yaml': 'days: 300' });
    const templates = await ownTemplatesFor({ ...plainLab, ca: ends(301) }, folder);
    expect(await ownTemplatesFor({ ...plainLab, ca: ends(299), templates }, folder)).toEqual(templates);
    await expect(ownTemplatesFor({ ...plainLab, ca: ends(299) }, folder)).rejects.toThrow(
      'beyond the end of its CA ca',
    );
  });

  test('may make a CA that ends before what it would sign, and that is said', async () => {
    const templates = await ownTemplatesFor(plainLab, await folderWith({ 'front-proxy-ca.yaml': 'days: 100' }));
    const end = new Date(Date.now() + 100 * day).toISOString().slice(0, 10);
    expect(await earlyEnds({ ...plainLab, templates })).toContainEqual(
      expect.stringContaining(`the CA front-proxy-ca ends on ${end}, and with it what it signs`),
    );
    expect((await earlyEnds(plainLab)).filter((line) => line.includes('front-proxy-ca'))).toEqual([]);
  });
});

describe('a template of one’s own is refused with the file, the line and the field', () => {
  const given = { fingerprint: 'AA', certificate: '/root/ca.pem', key: '/root/ca-key.pem', chain: '' };
  const underGiven: Lab = { ...plainLab, ca: { ...given, ends: new Date(Date.now() + 200 * day).toISOString() } };

  test.each<[string, string, string, RegExp, Lab?]>([
    [
      'an unknown variable',
      'apiserver',
      'years: 1\nhosts:\n  - "{{nod}}"',
      /yaml:3: hosts\[0\]: no variable is called "nod"; th/,
    ],
    [
      'a bad SAN',
      'apiserver',
      'hosts:\n  - api.lab.test\n  - "a..b"',
      /yaml:3: hosts\[1\]: is neither a DNS name nor an IP/,
    ],
    [
      'a field that cannot be otherwise',
      'apiserver',
      '\nsigner: etcd-ca',
      /yaml:2: signer: this cannot be otherwise; what/,
    ],
    ['usages', 'kubelet', 'usages: [server auth]', /yaml:1: usages: this cannot be otherwise/],
    ['two validities', 'admin', 'years: 1\ndays: 90', /yaml:2: days: the validity is in years or in days/],
    ['days that up makes anew at once', 'admin', 'days: 30', /yaml:1: days: /],
    ['half a year', 'admin', 'years: 0.5', /yaml:1: years: /],
    ['another user', 'admin', 'CN: jane', /yaml:1: CN: a client is known by its CN: it stays kubernetes-admin/],
    [
      'another group',
      'admin',
      'names:\n  - C: FR\n  - O: system:masters',
      /yaml:3: names\[1\]\.O: a client's organisations/,
    ],
    ['hosts of a client', 'admin', 'hosts: [a]', /yaml:1: hosts: only a server's certificate has hosts/],
    ['hosts of a CA', 'ca', 'hosts: [a]', /yaml:1: hosts: only a server's certificate has hosts/],
    [
      'a name for a key pair',
      'service-account',
      'key: { size: 4096 }\nCN: a',
      /yaml:2: CN: this is a key pair without/,
    ],
    ['a key of no such size', 'ca', 'key:\n  size: 1024', /yaml:2: key\.size: /],
    ['a key that is not RSA', 'ca', 'key: { algo: ecdsa, size: 4096 }', /yaml:1: key\.algo: /],
    ['a CN of 65 characters', 'apiserver', `CN: ${'a'.repeat(65)}`, /yaml:1: CN: /],
    ['a line break in a name', 'apiserver', 'names:\n  - O: "a\\nb"', /yaml:2: names\[0\]\.O: /],
    ['no names', 'apiserver', 'names: []', /yaml:1: names: it is empty/],
    ['nothing', 'apiserver', '', /yaml:1: /],
    ['no YAML', 'apiserver', 'CN: a\nCN: b', /yaml:2: this is not YAML: Map keys must be unique/],
    [
      'a validity beyond the CA’s',
      'apiserver',
      '# a\nyears: 11',
      /yaml:2: years: 11 years from now, on .* beyond the end of its CA ca/,
    ],
    [
      'a validity beyond a given CA’s',
      'kubelet',
      'days: 300',
      /yaml:1: days: 300 days from now.* its CA ca/,
      underGiven,
    ],
    ['a template for a given CA', 'ca', 'years: 5', /yaml:1: this CA is given by --ca-cert/, underGiven],
  ])('with %s', async (_, name, text, words, lab = plainLab) => {
    const folder = await folderWith({ [`${name}.yaml`]: text });
    const refusal = await ownTemplatesFor(lab, folder).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(UserError);
    expect((refusal as UserError).message).toContain(join(folder, name));
    expect((refusal as UserError).message).toMatch(words);
    expect((refusal as UserError).next).toMatch(/^correct .*, then run hardway again$/);
  });

  test('with a name that no certificate has, and one that does not end as ours', async () => {
    await expect(requestsWith({ 'apisrver.yaml': 'years: 1' })).rejects.toThrow('did you mean apiserver');
    await expect(requestsWith({ 'apiserver.yml': 'years: 1' })).rejects.toThrow('the name of a template ends in .yaml');
  });

  test('with the profile guide, whose one certificate is everybody’s', async () => {
    const guide: Lab = { ...plainLab, pki: 'guide' satisfies PkiProfile };
    await expect(requestsWith({ 'apiserver.yaml': 'years: 1' }, guide)).rejects.toThrow('no certificate "apiserver"');
    expect((await requestsWith({ 'admin.yaml': 'years: 2' }, guide))('admin')?.years).toBe(2);
  });

  test('where the folder is none, is empty, or others may change what is in it', async () => {
    await expect(ownTemplatesFor(plainLab, join(scratch.path, 'none'))).rejects.toThrow(
      /--certs-templates: .*none is missing/,
    );
    await expect(requestsWith({})).rejects.toThrow('no template is in it');
    const folder = await folderWith({ 'ca.yaml': 'years: 5' });
    await chmod(join(folder, 'ca.yaml'), 0o666);
    await expect(ownTemplatesFor(plainLab, folder)).rejects.toThrow('others than root may change');
    const shared = await folderWith({ 'ca.yaml': 'years: 5' });
    await chmod(shared, 0o777);
    await expect(ownTemplatesFor(plainLab, shared)).rejects.toMatchObject({
      message: expect.stringContaining('others than root may change'),
      next: expect.stringContaining('chmod go-w'),
    });
    await chmod(shared, 0o1777); // as /tmp is, and stays
    await expect(ownTemplatesFor(plainLab, shared)).rejects.toMatchObject({
      next: expect.stringContaining('copy it to a folder of root'),
    });
  });
});
