import { lstat, mkdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { asTyped, fromOutside, insideEnvironment, isReadOutside } from '../../bin/typed.ts';
import type { LedgerEntry } from '../../lib/engine/ledger.ts';
import { type ChangeListener, createHosts } from '../../lib/host/host.ts';
import { launcher } from '../../lib/host/paths.ts';
import { linkCommand } from '../../steps/binaries.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeEach(async () => {
  scratch = await scratchFolder();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await scratch.remove();
});

describe('a command of hardway in a text', () => {
  test('is named as it was typed, and nothing else is', () => {
    expect(asTyped('hardway vm exec lab -- hardway status', './hw')).toBe('./hw vm exec lab -- hardway status');
    expect(asTyped('hardway up; sudo hardway reset --to etcd', './hw')).toBe('./hw up; sudo ./hw reset --to etcd');
    for (const text of ['hardway keeps its keys', '/var/lib/hardway up', 'run hardway again', 'a hardway upgrade'])
      expect(asTyped(text, './hw')).toBe(text);
  });

  test('is named as a shell reads it, where the path that was typed has a blank', () => {
    vi.stubEnv('HARDWAY_CALLED', '/srv/my lab/bin/hardway');
    vi.stubEnv('PATH', scratch.path);
    expect(asTyped('hardway up')).toBe("'/srv/my lab/bin/hardway' up");
  });

  test('is named as it is typed outside, where vm up runs it in a VM, and by its name in a shell of that VM', () => {
    vi.stubEnv('HARDWAY_CALLED', 'bin/hardway');
    vi.stubEnv('PATH', scratch.path);
    vi.stubEnv('HARDWAY_LANG', 'fr');
    const [env, language, assignment = '', program] = fromOutside('lab');
    expect([env, language, program]).toEqual(['env', 'HARDWAY_LANG=fr', 'hardway']);
    const [name = '', value = ''] = assignment.split(/=(.*)/s);
    expect(isReadOutside()).toBe(false);
    vi.stubEnv(name, value);
    expect(isReadOutside()).toBe(true);
    expect(asTyped('next: hardway up --pause')).toBe('next: bin/hardway vm exec lab -- hardway up --pause');
    vi.stubEnv(name, insideEnvironment()[name]);
    expect([isReadOutside(), asTyped('hardway up')]).toEqual([false, 'bin/hardway up']);
  });

  test('is named by its name as soon as the shell finds it, and not where it finds another', async () => {
    const [first, second] = [`${scratch.path}/first`, `${scratch.path}/second`];
    for (const folder of [first, second]) await mkdir(folder);
    vi.stubEnv('HARDWAY_CALLED', 'bin/hardway');
    vi.stubEnv('PATH', `${first}:${second}`);
    expect(asTyped('hardway up')).toBe('bin/hardway up');
    await symlink(launcher, `${second}/hardway`);
    expect(asTyped('hardway up')).toBe('hardway up');
    await writeFile(`${first}/hardway`, 'another');
    expect(asTyped('hardway up')).toBe('bin/hardway up');
  });
});

describe('the command hardway among the programs of everybody', () => {
  const change: Pick<LedgerEntry, 'at' | 'step'> = { at: '2026-01-01T00:00:00.000Z', step: 'binaries' };
  const entries: LedgerEntry[] = [];
  const listener: ChangeListener = { record: (made) => entries.push({ ...change, ...made }), tell: () => {} };
  const path = (): string => `${scratch.path}/hardway`;
  const link = () =>
    linkCommand(createHosts({ dryRun: false, owned: new Set() })(listener), path(), async () => entries);
  beforeEach(() => void entries.splice(0));

  test('is linked where there is none, with its undo, and once', async () => {
    await link();
    expect(await readlink(path())).toBe(launcher);
    await link();
    expect(entries.map(({ undo }) => undo)).toEqual([{ kind: 'remove', path: path() }]);
  });

  test('follows a checkout that was moved', async () => {
    await symlink('/before/bin/hardway', path());
    entries.push({
      ...change,
      do: { kind: 'link', path: path(), target: '/before/bin/hardway' },
      undo: { kind: 'remove', path: path() },
    });
    await link();
    expect(await readlink(path())).toBe(launcher);
  });

  test("is not put over somebody else's link, also one that leads nowhere, nor over a file", async () => {
    await symlink('/theirs/bin/hardway', path());
    await link();
    expect(await readlink(path())).toBe('/theirs/bin/hardway');
    const file = `${scratch.path}/file`;
    await writeFile(file, 'theirs');
    await linkCommand(createHosts({ dryRun: false, owned: new Set() })(listener), file, async () => entries);
    expect(await readFile(file, 'utf8')).toBe('theirs');
    expect((await lstat(file)).isSymbolicLink()).toBe(false);
    expect(entries).toEqual([]);
  });

  test('is left as it is where it is there already, as in a VM', async () => {
    await symlink(launcher, path());
    await link();
    expect(entries).toEqual([]);
  });
});
