import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { inFolderOf, removeInHome } from '../../lib/host/anchor.ts';
import { makeFolder, requireAccess, setAccess, swapIn, writeAtomically } from '../../lib/host/files.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let folder: string;
beforeEach(async () => {
  scratch = await scratchFolder();
  folder = await realpath(scratch.path);
  await mkdir(at('precious'));
  await writeFile(at('precious/config'), 'precious');
});
afterEach(() => scratch.remove());
const at = (name: string): string => `${folder}/${name}`;

/** A person who is not here; the home is theirs. */
const person = { uid: 61_234, gid: 61_234 };
const makeHome = async (): Promise<void> => {
  await mkdir(at('home/.kube'), { recursive: true });
  for (const path of ['home', 'home/.kube']) await chown(at(path), person.uid, person.gid);
};
const mustBeIntact = async (): Promise<void> => {
  expect(await readdir(at('precious'))).toEqual(['config']);
  expect(await readFile(at('precious/config'), 'utf8')).toBe('precious');
  expect(await lstat(at('precious/config'))).toMatchObject({ uid: 0 });
};

describe('through a link that a person has put in the place of a folder', () => {
  beforeEach(async (context) => {
    needsRoot(context);
    await makeHome();
    await rename(at('home/.kube'), at('home/old'));
    await symlink(at('precious'), at('home/.kube'));
  });

  test.each([
    ['nothing is written', () => writeAtomically(at('home/.kube/config'), 'ours', { mode: 0o600, owner: person })],
    ['no folder is made', () => makeFolder(at('home/.kube/new'), { mode: 0o700, owner: person })],
    ['no owner is changed', () => setAccess(at('home/.kube/config'), { mode: 0o666, owner: person })],
    ['nothing is removed', () => removeInHome(at('home/.kube/config'))],
  ])('%s, whoever owns the link', async (_, use) => {
    await expect(use()).rejects.toMatchObject({ name: 'ForeignLink', message: expect.stringContaining('.kube') });
    await lchown(at('home/.kube'), person.uid, person.gid);
    await expect(use()).rejects.toThrow('.kube');
    await mustBeIntact();
  });
});

test('a link at the end of the path is replaced, not followed', async (context) => {
  needsRoot(context);
  await makeHome();
  await symlink(at('precious/config'), at('home/.kube/config'));
  await expect(setAccess(at('home/.kube/config'), { mode: 0o666, owner: person })).rejects.toThrow('ELOOP');
  await writeAtomically(at('home/.kube/config'), 'ours', { mode: 0o600, owner: person });
  expect(await lstat(at('home/.kube/config'))).toMatchObject({ uid: person.uid, mode: 0o100600 });
  await mustBeIntact();
});

test('a name that somebody has prepared for the temporary file is not written to', async () => {
  const prepared = at('config.part');
  await symlink(at('precious/config'), prepared);
  const write = writeAtomically(at('config'), 'ours', { mode: 0o600, temporary: prepared });
  await expect(write).rejects.toThrow('EEXIST');
  expect(await readFile(at('precious/config'), 'utf8')).toBe('precious');
});

test('temporary files have names that nobody can prepare', async () => {
  const names = new Set<string>();
  for (const _ of [1, 2]) {
    await swapIn(at('file'), async (temporary) => {
      names.add(temporary.replace(/^.*\//, ''));
      await writeFile(temporary, '');
    });
  }
  expect([...names]).toEqual(Array(2).fill(expect.stringMatching(`^file\\.hardway-${process.pid}-[0-9a-f]{12}$`)));
  expect(names.size).toBe(2);
});

test('links that only root can have made are followed, also with .. in them', async () => {
  await symlink('precious/../precious', at('link'));
  await writeAtomically(at('link/new'), 'ours', { mode: 0o600 });
  expect(await readFile(at('precious/new'), 'utf8')).toBe('ours');
  await symlink(at('loop'), at('loop'));
  await expect(writeAtomically(at('loop/new'), 'ours', { mode: 0o600 })).rejects.toThrow('loop');
});

test('an error names the path that was asked for', async () => {
  const write = writeAtomically(at('none/new'), 'ours', { mode: 0o600 });
  await expect(write).rejects.toMatchObject({ code: 'ENOENT', path: at('none') });
  await mkdir(at('folder'));
  await expect(writeAtomically(at('folder'), 'ours', { mode: 0o600 })).rejects.toThrow(at('folder'));
  await expect(inFolderOf(at('gone'), lstat)).rejects.toMatchObject({ path: at('gone') });
});

test('a folder in a home goes with all that is in it, and nothing that its links lead to', async (context) => {
  needsRoot(context);
  await makeHome();
  await mkdir(at('home/.kube/cache/http'), { recursive: true });
  await symlink(at('precious'), at('home/.kube/cache/http/link'));
  await removeInHome(at('home/.kube/cache'));
  await removeInHome(at('home/.kube/cache'));
  expect(await readdir(at('home/.kube'))).toEqual([]);
  await mustBeIntact();
});

test('a key that others can read, or that is another’s, is no key of ours', async (context) => {
  await requireAccess(at('precious/config'), 0o644);
  await chmod(at('precious/config'), 0o666);
  await expect(requireAccess(at('precious/config'), 0o644)).rejects.toThrow('has the mode 0666, not 0644');
  await setAccess(at('precious/config'), { mode: 0o600 });
  await requireAccess(at('precious/config'), 0o600);
  needsRoot(context);
  await chown(at('precious/config'), person.uid, 0);
  await expect(requireAccess(at('precious/config'), 0o600)).rejects.toThrow('belongs to uid 61234');
});
