import { createPublicKey, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { keyIdOf, signerOfToken } from '../../lib/cluster/projected.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { issue, type Pem, problemsOf } from '../../lib/pki/issue.ts';
import { blocksOf, firstBlock } from '../../lib/pki/pem.ts';
import {
  asRotated,
  filesIn,
  inUse,
  notesOn,
  planRotation,
  type Rotated,
  rotationProblem,
  type Stage,
  successorOf,
  trustedIn,
} from '../../lib/pki/rotation.ts';
import { type CertificateRequest, readProfile } from '../../lib/pki/templates.ts';

const at = (stage: Stage, whole = false): Rotated => ({
  stage,
  whole,
  since: '2026-11-26T12:00:00.000Z',
  old: 'old',
  certificate: 'new',
  key: 'key',
  cross: 'cross',
});
const command = 'hardway certs rotate ca';
const plan = (names: readonly string[], rotation: Readonly<Record<string, Rotated>>, finish = false): string[] =>
  planRotation(names, rotation, { finish, command }).map(({ stage, names: who }) => `${stage}: ${who.join(', ')}`);

describe('the plan of a rotation', () => {
  test('trusts both before the new one signs, for all CAs together, and does not finish by itself', () => {
    expect(plan(['ca', 'etcd-ca'], {})).toEqual(['trust: ca, etcd-ca', 'sign: ca, etcd-ca']);
  });

  test.each([
    ['at the stage trust', at('trust'), ['trust: ca', 'sign: ca']],
    ['between trust and sign', at('trust', true), ['sign: ca']],
    ['at the stage sign', at('sign'), ['sign: ca']],
    ['at the stage finish', at('finish'), ['finish: ca']],
  ])('that was interrupted %s goes on there with the same command', (_, pair, stages) => {
    expect(plan(['ca'], { ca: pair })).toEqual(stages);
  });

  test('has nothing left until --finish once the new one signs', () => {
    expect(plan(['ca'], { ca: at('sign', true) })).toEqual([]);
    expect(plan(['ca'], { ca: at('sign', true) }, true)).toEqual(['finish: ca']);
    expect(plan(['ca'], { ca: at('finish') }, true)).toEqual(['finish: ca']);
  });

  test('takes each CA from where it is', () => {
    expect(plan(['ca', 'etcd-ca'], { ca: at('trust', true) })).toEqual(['trust: etcd-ca', 'sign: ca, etcd-ca']);
  });

  test.each([
    ['that was never begun', {}, 'no rotation of ca is under way'],
    ['at the stage trust', { ca: at('trust', true) }, 'has come to the stage trust'],
    ['at the stage sign', { ca: at('sign') }, 'has come to the stage sign'],
  ])('%s is not finished: the refusal names the command that goes on', (_, rotation, words) => {
    expect(() => plan(['ca'], rotation, true)).toThrow(words);
    expect(() => plan(['ca'], rotation, true)).toThrow(expect.objectContaining({ next: command }));
    expect(() => plan(['ca'], rotation, true)).toThrow(UserError);
  });
});

test('up and status say of each pair how far it is and which command goes on', () => {
  const { cross: _, ...tokens } = at('trust', true);
  const notes = notesOn({ ca: at('sign', true), 'etcd-ca': at('finish'), 'service-account': tokens });
  expect(notes[0]).toMatch(/^ca was replaced on .*the old one still counts: hardway certs rotate ca --finish/);
  expect(notes[1]).toMatch(/etcd-ca was interrupted at its stage finish .*: hardway certs rotate ca --finish goes on/);
  expect(notes[2]).toMatch(/interrupted at its stage trust .*: hardway certs rotate service-account goes on/);
});

const variables = { node: 'lab', address: '10.240.0.10', apiServiceAddress: '10.32.0.1', domain: 'cluster.local' };
const byName = (pems: readonly Pem[]): Map<string, Pem> => new Map(pems.map((pem) => [pem.name, pem]));

describe('the files of a rotation', () => {
  let requests: readonly CertificateRequest[];
  let before: Map<string, Pem>;
  let pair: Rotated;
  let tokens: Rotated;
  const request = (name: string): CertificateRequest => {
    const found = requests.find((one) => one.name === name);
    if (!found) throw new Error(`no request ${name}`);
    return found;
  };
  const pem = (pems: ReadonlyMap<string, Pem>, name: string): Pem => {
    const found = pems.get(name);
    if (!found) throw new Error(`no certificate ${name}`);
    return found;
  };
  /** What the certificates step writes while the CA is in a stage, from what is on the disk. */
  const written = async (stage: Stage, disk: ReadonlyMap<string, Pem>): Promise<Map<string, Pem>> => {
    const rotation = { ca: { ...pair, stage } };
    const issued = await issue(requests, asRotated(disk, rotation));
    return byName(issued.map((one) => filesIn(request(one.name), one, rotation)));
  };

  beforeAll(async () => {
    requests = await readProfile('components', variables);
    before = byName(await issue(requests, new Map()));
    pair = await successorOf(request('ca'), pem(before, 'ca'));
    tokens = await successorOf(request('service-account'), pem(before, 'service-account'));
  });

  test('the new CA has the name of the old one, another key, and is signed by itself and by the old one', () => {
    const [old, made, cross] = [pair.old, pair.certificate, pair.cross ?? ''].map((one) => new X509Certificate(one));
    expect(made?.subject).toBe(old?.subject);
    expect(made?.publicKey.equals(old?.publicKey ?? made.publicKey)).toBe(false);
    expect(made?.verify(made.publicKey)).toBe(true);
    expect(cross?.publicKey.equals(made?.publicKey ?? cross.publicKey)).toBe(true);
    expect(old && cross?.checkIssued(old) && cross.verify(old.publicKey)).toBe(true);
  });

  test('trust: nothing is signed anew, and the CA has both', async () => {
    const after = await written('trust', before);
    expect(pem(after, 'apiserver')).toEqual(pem(before, 'apiserver'));
    expect(pem(after, 'ca')).toEqual({ ...pem(before, 'ca'), certificate: `${pair.old}${pair.certificate}` });
  });

  test('sign: each certificate of that CA and no other is made anew, and fits; a server shows the way to the old CA', async () => {
    const after = await written('sign', await written('trust', before));
    for (const { name, signer } of requests) {
      const isNew = name === 'ca' || signer === 'ca';
      expect(pem(after, name).key !== pem(before, name).key, name).toBe(isNew);
      const ca = pem(after, signer ?? name).certificate;
      expect(problemsOf(request(name), pem(after, name), ca), name).toEqual([]);
    }
    expect(blocksOf(pem(after, 'ca').certificate)).toEqual([pair.certificate, pair.old]);
    expect(blocksOf(pem(after, 'apiserver').certificate)[1]).toBe(pair.cross);
    expect(blocksOf(pem(after, 'admin').certificate)).toHaveLength(1);
  });

  test('each stage again changes nothing, also after a crash between the files of a stage', async () => {
    const signed = await written('sign', await written('trust', before));
    expect(await written('sign', signed)).toEqual(signed);
    const torn = new Map(signed).set('ca', { ...pem(signed, 'ca'), key: pem(before, 'ca').key });
    expect(await written('sign', torn)).toEqual(signed);
    const finished = await written('finish', signed);
    expect(pem(finished, 'ca').certificate).toBe(pair.certificate);
    expect(await written('finish', finished)).toEqual(finished);
    expect(pem(finished, 'apiserver')).toEqual(pem(signed, 'apiserver'));
  });

  test('a file that holds something else than its stage needs is a problem; a pair that is not replaced has none', () => {
    expect(rotationProblem({ ...pair, stage: 'sign' }, trustedIn(pair))).toContain('the stage sign');
    expect(rotationProblem(pair, trustedIn(pair))).toBeUndefined();
    expect(rotationProblem(undefined, 'anything')).toBeUndefined();
  });

  test('a rotation of a CA that is no longer there is none', () => {
    const rotation = { ca: pair };
    expect(inUse(rotation, before)).toEqual(rotation);
    expect(inUse(rotation, new Map([['ca', { ...pem(before, 'ca'), certificate: trustedIn(pair) }]]))).toEqual(
      rotation,
    );
    expect(inUse(rotation, new Map([['ca', pem(before, 'etcd-ca')]]))).toEqual({});
    expect(inUse(rotation, new Map())).toEqual({});
  });

  test('the key of tokens: its file has both public keys, the first is that of the private key', () => {
    const rotation = { 'service-account': { ...tokens, stage: 'sign' as const } };
    const signs = pem(asRotated(before, rotation), 'service-account');
    const file = filesIn(request('service-account'), signs, rotation);
    expect(problemsOf(request('service-account'), file, '')).toEqual([]);
    expect(blocksOf(file.certificate)).toEqual([tokens.certificate, pem(before, 'service-account').certificate]);
    expect(tokens.cross).toBeUndefined();
  });

  test("the guide's one certificate keeps its key, with which tokens are signed", async () => {
    const guide = await readProfile('guide', variables);
    const old = byName(await issue(guide, new Map()));
    const ca = guide.find(({ name }) => name === 'ca');
    if (!ca) throw new Error('the guide has no CA');
    const rotation = { ca: { ...(await successorOf(ca, pem(old, 'ca'))), stage: 'sign' as const } };
    const after = byName(await issue(guide, asRotated(old, rotation), { keepsKey: ({ name }) => name === 'admin' }));
    expect(pem(after, 'admin').key).toBe(pem(old, 'admin').key);
    expect(new X509Certificate(pem(after, 'admin').certificate).verify(createPublicKey(pem(after, 'ca').key))).toBe(
      true,
    );
  });

  test('a token tells which key signed it', () => {
    const header = Buffer.from(JSON.stringify({ alg: 'RS256', kid: keyIdOf(tokens.certificate) })).toString(
      'base64url',
    );
    expect(signerOfToken(`${header}.e30.c2ln`)).toBe(keyIdOf(tokens.certificate));
    expect(signerOfToken(`${header}.e30.c2ln\n`)).not.toBe(keyIdOf(firstBlock(tokens.old)));
    expect(signerOfToken('kube-system')).toBeUndefined();
    expect(signerOfToken('a.b.c')).toBeUndefined();
  });
});
