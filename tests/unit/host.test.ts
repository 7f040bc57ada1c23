import { existsSync } from 'node:fs';
import {
  chmod,
  lchown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Change } from '../../lib/host/change.ts';
import { sha256 } from '../../lib/host/files.ts';
import { type ChangeListener, createHosts, type HostOptions } from '../../lib/host/host.ts';
import { paths } from '../../lib/host/paths.ts';
import { isStillThere } from '../../lib/host/placed.ts';
import { run } from '../../lib/host/run.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';

// Every place of ours in a folder of this test's own, so that nothing on this machine is touched.
vi.mock('../../lib/host/paths.ts', async (original) => {
  const { mkdtempSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const { paths: real } = await original<typeof import('../../lib/host/paths.ts')>();
  return { paths: { ...real, before: `${mkdtempSync(`${tmpdir()}/hardway-test-`)}/before` } };
});

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let changes: Change[];
let told: string[];
beforeEach(async () => {
  scratch = await scratchFolder();
  changes = [];
  told = [];
});
afterEach(() => scratch.remove());
afterAll(() => rm(dirname(paths.before), { recursive: true }));

const at = (name: string): string => `${scratch.path}/${name}`;
const open = (options: Partial<HostOptions & ChangeListener> = {}) =>
  createHosts({ dryRun: false, owned: new Set(), ...options })({
    record: (change) => changes.push(change),
    tell: (what) => told.push(what),
    ...options,
  });
const undos = () => changes.map(({ undo }) => undo);
const mode = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8);

describe('a change is recorded before it happens', () => {
  test.each([
    ['a file', (host: ReturnType<typeof open>) => host.writeFile(at('new'), 'x')],
    ['a folder', (host: ReturnType<typeof open>) => host.makeDir(at('new'))],
    ['a link', (host: ReturnType<typeof open>) => host.symlink(at('new'), '/nowhere')],
    ['a placed file', (host: ReturnType<typeof open>) => host.linkFile(at('new'), '/etc/hostname')],
    [
      'a command',
      (host: ReturnType<typeof open>) => host.sh(['mkdir', at('new')], { kind: 'run', argv: ['rmdir', at('new')] }),
    ],
  ])('%s', async (_, act) => {
    const there: boolean[] = [];
    await act(open({ record: () => there.push(existsSync(at('new'))) }));
    expect(there).toEqual([false]);
    expect(await readdir(scratch.path)).toEqual(['new']);
  });

  test('and where it cannot be recorded it does not happen', async () => {
    const record = () => {
      throw new Error('disk full');
    };
    await expect(open({ record }).writeFile(at('new'), 'x')).rejects.toThrow('disk full');
    expect(existsSync(at('new'))).toBe(false);
  });
});

describe('a file', () => {
  test('is written with its mode, and its undo removes what we wrote', async () => {
    expect(await open().writeFile(at('key'), 'secret', 0o600)).toBe(true);
    expect(await readFile(at('key'), 'utf8')).toBe('secret');
    expect(await mode(at('key'))).toBe('600');
    expect(undos()).toEqual([{ kind: 'remove', path: at('key'), sha256: sha256('secret') }]);
  });

  test('brings the folders above it, each with an undo of its own', async () => {
    await open().writeFile(at('a/b/c'), 'x');
    expect(undos()).toMatchObject([
      { kind: 'remove-tree', path: at('a') },
      { kind: 'remove-tree', path: at('a/b') },
      { kind: 'remove', path: at('a/b/c') },
    ]);
  });

  test('that is as it should be is left alone', async () => {
    await writeFile(at('file'), 'same');
    await chmod(at('file'), 0o644);
    const { ino, ctimeMs } = await stat(at('file'));
    expect(await open().writeFile(at('file'), 'same', 0o644)).toBe(false);
    expect(await stat(at('file'))).toMatchObject({ ino, ctimeMs });
    expect([changes, told]).toEqual([[], []]);
  });

  test('with another mode gets the right one, and the former one back at undo', async () => {
    await writeFile(at('file'), 'same');
    await chmod(at('file'), 0o644);
    expect(await open().writeFile(at('file'), 'same', 0o600)).toBe(true);
    expect(await mode(at('file'))).toBe('600');
    expect(undos()).toEqual([{ kind: 'access', path: at('file'), mode: 0o644 }]);
  });

  test('of somebody else is kept before it is overwritten, and its undo restores it', async () => {
    await writeFile(at('resolv.conf'), 'theirs');
    await open().writeFile(at('resolv.conf'), 'ours');
    const [undo] = undos();
    expect(undo).toMatchObject({ kind: 'restore', path: at('resolv.conf'), sha256: sha256('ours') });
    const from = undo?.kind === 'restore' ? undo.from : '';
    expect(from.startsWith(paths.before)).toBe(true);
    expect(await readFile(from, 'utf8')).toBe('theirs');
    expect(await mode(paths.before)).toBe('700');
  });

  test('of somebody else is kept with its owner and its mode, a link too', async (context) => {
    needsRoot(context);
    await writeFile(at('tool'), 'theirs');
    await symlink('/nowhere', at('link'));
    for (const name of ['tool', 'link']) await lchown(at(name), 4321, 8765);
    await chmod(at('tool'), 0o4755);
    await open().writeFile(at('tool'), 'ours');
    await open().symlink(at('link'), '/ours');
    const kept = undos().map((undo) => (undo.kind === 'restore' ? undo.from : ''));
    for (const from of kept) expect(await lstat(from)).toMatchObject({ uid: 4321, gid: 8765 });
    expect((await lstat(kept[0] ?? '')).mode & 0o7777).toBe(0o4755);
  });

  test('of ours is overwritten without being kept, in this run and in a later one', async () => {
    const host = open();
    await host.writeFile(at('unit'), 'one');
    await host.writeFile(at('unit'), 'two');
    await open({ owned: new Set([at('unit')]) }).writeFile(at('unit'), 'three');
    expect(undos().map(({ kind }) => kind)).toEqual(['remove', 'remove', 'remove']);
    expect(await readFile(at('unit'), 'utf8')).toBe('three');
  });

  test('of ours that somebody removed comes back', async () => {
    await open({ owned: new Set([at('unit')]) }).writeFile(at('unit'), 'x');
    expect(undos()).toMatchObject([{ kind: 'remove' }]);
  });

  test('and a folder are given to their owner', async (context) => {
    needsRoot(context);
    const owner = { uid: 4321, gid: 8765 };
    const host = open();
    await host.makeDir(at('.kube'), 0o750, owner);
    await host.writeFile(at('.kube/config'), 'x', 0o600, owner);
    expect(await stat(at('.kube'))).toMatchObject(owner);
    expect(await stat(at('.kube/config'))).toMatchObject(owner);
  });
});

test('a file where a folder belongs is named, and left alone', async () => {
  await writeFile(at('there'), 'mine');
  await expect(open().makeDir(at('there'))).rejects.toThrow(`${at('there')} is a file, where a folder belongs`);
  expect(await readFile(at('there'), 'utf8')).toBe('mine');
});

test.each([
  ['a folder', (path: string) => mkdir(path)],
  ['a FIFO', (path: string) => run('mkfifo', [path])],
])('%s where a file belongs is named, and left alone', async (what, make) => {
  await make(at('there'));
  await expect(open().writeFile(at('there'), 'ours')).rejects.toThrow(
    `${at('there')} is ${what}, where a file belongs`,
  );
  expect(changes).toEqual([]);
});

test('a folder that is there is no change, whatever its mode', async () => {
  await mkdir(at('there'), { mode: 0o700 });
  expect(await open().makeDir(at('there'), 0o755)).toBe(false);
  expect(await mode(at('there'))).toBe('700');
  expect(changes).toEqual([]);
});

test('a folder gets its mode, whatever the umask', async () => {
  await open().makeDir(at('open'), 0o777);
  expect(await mode(at('open'))).toBe('777');
});

describe('a link', () => {
  test('is made once and is no change the second time', async () => {
    const host = open();
    expect(await host.symlink(at('kubectl'), '/opt/kubectl')).toBe(true);
    expect(await host.symlink(at('kubectl'), '/opt/kubectl')).toBe(false);
    expect(await readlink(at('kubectl'))).toBe('/opt/kubectl');
    expect(undos()).toEqual([{ kind: 'remove', path: at('kubectl') }]);
  });

  test.each([
    ['that leads to a file', () => writeFile(at('snap'), 'a snap')],
    ['that leads nowhere', async () => {}],
  ])('of somebody else %s is kept as the link that it is', async (_, prepare) => {
    await prepare();
    await symlink(at('snap'), at('kubectl'));
    await open().symlink(at('kubectl'), '/opt/kubectl');
    const [undo] = undos();
    expect(undo).toMatchObject({ kind: 'restore', path: at('kubectl') });
    expect(await readlink(undo?.kind === 'restore' ? undo.from : '')).toBe(at('snap'));
    expect(await readlink(at('kubectl'))).toBe('/opt/kubectl');
  });
});

describe('placing a file', () => {
  test('copies no bytes on one file system, and is no change the second time', async () => {
    await writeFile(at('cached'), 'binary');
    const host = open();
    expect(await host.linkFile(at('etcd'), at('cached'))).toBe(true);
    expect((await lstat(at('etcd'))).ino).toBe((await lstat(at('cached'))).ino);
    expect(await host.linkFile(at('etcd'), at('cached'))).toBe(false);
    expect(undos()).toMatchObject([{ kind: 'remove', path: at('etcd'), placed: { size: 6, target: at('cached') } }]);
  });

  test.each([
    ['linked', '/proc/version', 0o755],
    ['copied', '', 0o777],
  ])('%s, records how it is known again', async (_, other, mode) => {
    await writeFile(at('cached'), 'binary');
    await chmod(at('cached'), mode);
    const host = open();
    await host.linkFile(at('etcd'), at('cached'));
    if (other) await host.linkFile(at('other'), other);
    for (const undo of undos()) {
      const { path, placed } = undo as Extract<Change['undo'], { kind: 'remove' }>;
      expect(placed && isStillThere(path, placed), path).toBe(true);
      await rm(path);
      await writeFile(path, 'their own');
      expect(placed && isStillThere(path, placed), path).toBe(false);
    }
  });

  test('over a file of somebody else keeps it a second time, beside the first copy', async () => {
    await writeFile(at('cached'), 'binary');
    for (const content of ['first', 'second']) {
      await rm(at('etcd'), { force: true });
      await writeFile(at('etcd'), content);
      await open().linkFile(at('etcd'), at('cached'));
    }
    const kept = undos().map((undo) => (undo.kind === 'restore' ? undo.from : ''));
    expect(await Promise.all(kept.map((from) => readFile(from, 'utf8')))).toEqual(['first', 'second']);
  });

  test('takes the place of an older one', async () => {
    await writeFile(at('old'), 'old');
    await link(at('old'), at('etcd'));
    await writeFile(at('new'), 'new');
    expect(await open({ owned: new Set([at('etcd')]) }).linkFile(at('etcd'), at('new'))).toBe(true);
    expect(await readFile(at('etcd'), 'utf8')).toBe('new');
    expect(await readFile(at('old'), 'utf8')).toBe('old');
  });

  test('that others may change is copied, also where it was linked before', async () => {
    await writeFile(at('cached'), 'binary');
    await link(at('cached'), at('etcd'));
    await chmod(at('cached'), 0o777);
    const host = open({ owned: new Set([at('etcd')]) });
    expect(await host.linkFile(at('etcd'), at('cached'))).toBe(true);
    expect((await lstat(at('etcd'))).ino).not.toBe((await lstat(at('cached'))).ino);
    expect(await mode(at('etcd'))).toBe('755');
    expect(await host.linkFile(at('etcd'), at('cached'))).toBe(false);
    await writeFile(at('cached'), 'another');
    expect(await readFile(at('etcd'), 'utf8')).toBe('binary');
    expect(await host.linkFile(at('etcd'), at('cached'))).toBe(true);
    expect(await readFile(at('etcd'), 'utf8')).toBe('another');
  });

  test('from a folder of another file system that only root enters is copied, as components have accounts of their own', async (context) => {
    needsRoot(context);
    const closed = await mkdtemp('/dev/shm/hardway-test-');
    try {
      await writeFile(`${closed}/etcd`, 'binary', { mode: 0o755 });
      const host = open();
      await host.linkFile(at('etcd'), `${closed}/etcd`);
      expect((await lstat(at('etcd'))).isFile()).toBe(true);
      expect(await host.linkFile(at('etcd'), `${closed}/etcd`)).toBe(false);
      await symlink('/proc/version', `${closed}/link`);
      await host.linkFile(at('through'), `${closed}/link`);
      expect((await lstat(at('through'))).isFile()).toBe(true);
      await chmod(closed, 0o711);
      await host.linkFile(at('link'), `${closed}/etcd`);
      expect(await readlink(at('link'))).toBe(`${closed}/etcd`);
    } finally {
      await rm(closed, { recursive: true });
    }
  });

  test('of a person is copied, and the copy is root’s', async (context) => {
    needsRoot(context);
    await writeFile(at('theirs'), 'binary', { mode: 0o755 });
    await lchown(at('theirs'), 61_234, 61_234);
    expect(await open().linkFile(at('etcd'), at('theirs'))).toBe(true);
    expect(await lstat(at('etcd'))).toMatchObject({ uid: 0, gid: 0, nlink: 1 });
  });

  test('from another file system makes a link, which is no change the second time', async () => {
    const host = open();
    await host.linkFile(at('version'), '/proc/version');
    expect(await readlink(at('version'))).toBe('/proc/version');
    expect(await host.linkFile(at('version'), '/proc/version')).toBe(false);
  });
});

describe('a command', () => {
  test('is told as one would type it, and recorded with its undo', async () => {
    await open().sh(['touch', at('a b')], { kind: 'run', argv: ['rm', at('a b')] });
    expect(existsSync(at('a b'))).toBe(true);
    expect(told).toEqual([`touch '${at('a b')}'`]);
    expect(undos()).toEqual([{ kind: 'run', argv: ['rm', at('a b')] }]);
  });

  test('that fails throws its words, its exit code and itself', async () => {
    await expect(open().sh(['sh', '-c', 'echo no such unit >&2; exit 5'])).rejects.toThrow(
      /sh -c .*exit code 5\nno such unit/s,
    );
  });

  test('is run without a shell: nothing in a word is expanded', async () => {
    await open().sh(['touch', at('$HOME;x *')]);
    expect(existsSync(at('$HOME;x *'))).toBe(true);
  });
});

test('a kernel parameter that has its value is no change', async () => {
  const now = (await readFile('/proc/sys/kernel/ostype', 'utf8')).trim();
  expect(await open().sysctl('kernel.ostype', now)).toBe(false);
  expect(changes).toEqual([]);
});

test('a dry run tells every change and touches nothing', async () => {
  await writeFile(at('theirs'), 'theirs');
  const host = open({ dryRun: true });
  await host.makeDir(at('lab'));
  await host.writeFile(at('lab/key'), 'x', 0o600);
  await host.writeFile(at('theirs'), 'ours');
  await host.symlink(at('link'), '/nowhere');
  await host.linkFile(at('etcd'), at('theirs'));
  await host.sh(['touch', at('touched')], { kind: 'run', argv: ['rm', at('touched')] });
  await host.sh(['touch', at('touched')]);
  await host.sysctl('net.ipv4.ip_forward', 'neither');
  expect(told).toEqual([
    `make folder ${at('lab')}`,
    `write ${at('lab/key')}`,
    `write ${at('theirs')}`,
    `link ${at('link')} to /nowhere`,
    `place ${at('etcd')}`,
    `touch ${at('touched')}`,
    `touch ${at('touched')}`,
    'sysctl -w net.ipv4.ip_forward=neither',
  ]);
  expect(changes).toEqual([]);
  for (const name of ['lab', 'link', 'etcd', 'touched']) expect(existsSync(at(name)), name).toBe(false);
  expect(await readFile(at('theirs'), 'utf8')).toBe('theirs');
});

test('a run that was aborted changes nothing more', async () => {
  const run = new AbortController();
  const host = createHosts({ dryRun: false, owned: new Set() })(
    { record: (change) => changes.push(change), tell: () => {} },
    run.signal,
  );
  await host.writeFile(at('before'), 'x');
  run.abort();
  await expect(host.writeFile(at('after'), 'x')).rejects.toThrow('aborted');
  expect(await readdir(scratch.path)).toEqual(['before']);
  expect(changes).toHaveLength(1);
});

test('what a process that was killed had prepared goes with the next write', async () => {
  await writeFile(`${at('file')}.hardway-99999999`, 'half'); // no process has such a number
  await open().writeFile(at('file'), 'whole');
  expect(await readdir(scratch.path)).toEqual(['file']);
});
