import { appendFile, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Bug } from '../../lib/engine/errors.ts';
import {
  type LedgerEntry,
  openLedger,
  ownedPaths,
  readLedger,
  readLedgerContent,
  supervisorIn,
  writeLedger,
} from '../../lib/engine/ledger.ts';
import type { Change, Placed, Undo } from '../../lib/host/change.ts';
import { paths } from '../../lib/host/paths.ts';
import { placedFrom } from '../../lib/host/placed.ts';
import { run } from '../../lib/host/run.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let path: string;
beforeEach(async () => {
  scratch = await scratchFolder();
  path = `${scratch.path}/lab/ledger.jsonl`;
});
afterEach(() => scratch.remove());

const write: Change = {
  do: { kind: 'write', path: '/etc/x' },
  undo: { kind: 'remove', path: '/etc/x', sha256: 'abc' },
};
const start: Change = {
  do: { kind: 'run', argv: ['systemctl', 'start', 'etcd.service'] },
  undo: { kind: 'unit', name: 'etcd', supervisor: 'systemd' },
};

/** Appends through a ledger of its own, as each run does. */
const append = (...changes: readonly Change[]): void => {
  const ledger = openLedger(path);
  for (const change of changes) ledger.append('etcd', change);
  ledger.close();
};

test('what is appended is read back in its order, over several runs', async () => {
  append(write, start);
  append(write);
  expect(await readLedger(path)).toEqual(
    [write, start, write].map((change) => ({ ...change, step: 'etcd', at: expect.stringMatching(/^\d{4}-.*Z$/) })),
  );
});

test('an entry is in the file when append returns', async () => {
  const ledger = openLedger(path);
  ledger.append('etcd', write);
  expect(await readLedger(path)).toHaveLength(1);
  ledger.close();
});

test('a run that changes nothing leaves no file and no folder', async () => {
  openLedger(path).close();
  await expect(stat(`${scratch.path}/lab`)).rejects.toThrow('ENOENT');
  expect(await readLedger(path)).toEqual([]);
});

test('only root can read it', async () => {
  append(write);
  expect((await stat(path)).mode & 0o077).toBe(0);
});

test('a torn last line is passed over, and swallows nothing that is appended after it', async () => {
  append(write);
  const whole = await readFile(path, 'utf8');
  await appendFile(path, whole.trim().slice(0, 40));
  expect(await readLedger(path)).toMatchObject([write]);
  append(start);
  expect(await readLedger(path)).toMatchObject([write, start]);
});

test.each([
  ['null', 'it has no fields'],
  ['42', 'it has no fields'],
  ['[]', 'it has no fields'],
  ['words', 'it is not JSON'],
  ['\u001b[2J', '"\\u001b[2J"'],
  ['{}', 'it.at is not a text'],
  ['{"at":"x","step":"etcd","do":{"kind":"run","argv":["x"]}}', 'it.undo has no fields'],
  ['{"at":"x","step":"etcd","do":{"kind":"fly"},"undo":{"kind":"module","name":"x"}}', 'it.do.kind is not one of'],
  ['{"at":"x","step":"etcd","what":"x","undo":{"kind":"run","argv":"x"}}', 'it.undo.argv is not a list'],
])('the line %s is named and passed over, and the others are read', async (line, why) => {
  append(write);
  await appendFile(path, `${line}\n`);
  append(start);
  const { entries, unreadable } = await readLedgerContent(path);
  expect(entries).toMatchObject([write, start]);
  expect(unreadable).toEqual([expect.stringMatching(/^line 3 of .* is no change of hardway/)]);
  expect(unreadable[0]).toContain(why);
});

test('a torn line is a change that had not begun, so it is not named', async () => {
  append(write);
  await appendFile(path, '{"at":"2026-01-01T00:00:00.000Z","step":"et');
  expect(await readLedgerContent(path)).toMatchObject({ unreadable: [] });
});

test.each([
  ['a folder', mkdir],
  ['a FIFO', (place: string) => run('mkfifo', [place])],
  ['a file of gigabytes', (place: string) => run('truncate', ['-s', '3G', place])],
  ['a link to itself', (place: string) => symlink(place, place)],
])('a ledger that is %s is refused with the reason and the way out', async (_, make) => {
  await mkdir(dirname(path), { recursive: true });
  await make(path);
  await expect(readLedger(path)).rejects.toMatchObject({
    name: 'UserError',
    message: expect.stringContaining(`${path} cannot be read: `),
    next: expect.stringContaining('hardway reset'),
  });
});

test('owned paths are those of files and folders that we made, not of commands', async () => {
  append(write, start, { do: { kind: 'make-dir', path: '/opt/x' }, undo: { kind: 'remove-tree', path: '/opt/x' } });
  expect([...ownedPaths(await readLedger(path))]).toEqual(['/etc/x', '/opt/x']);
});

test('a path whose mode was set is not owned: its content is somebody else’s', async () => {
  append({ do: { kind: 'run', argv: [] }, undo: { kind: 'access', path: '/etc/x', mode: 0o644 } });
  expect(ownedPaths(await readLedger(path)).size).toBe(0);
});

test('a program that somebody has put in the place of ours is not owned; one of ours is, and one of an older hardway', async () => {
  const file = `${scratch.path}/kubectl`;
  const place = (placed?: Placed): Change => ({
    do: { kind: 'place', path: file },
    undo: { kind: 'remove', path: file, ...(placed && { placed }) },
  });
  await writeFile(file, 'ours');
  const ours = placedFrom('/cache/kubectl', await stat(file));
  append(place({ ...ours, size: 9 }), place(ours));
  expect([...ownedPaths(await readLedger(path))]).toEqual([file]);
  await writeFile(file, 'of somebody else');
  expect([...ownedPaths(await readLedger(path))]).toEqual([]);
  await rm(file);
  await symlink('/nowhere', file);
  expect([...ownedPaths(await readLedger(path))]).toEqual([]);
  const root = vi.spyOn(paths, 'root', 'get').mockReturnValue(scratch.path as typeof paths.root); // everything in it is ours
  expect([...ownedPaths(await readLedger(path))]).toEqual([file]);
  root.mockRestore();
  append(place());
  expect([...ownedPaths(await readLedger(path))]).toEqual([file]);
});

test.each<[Undo, readonly string[]]>([
  [{ kind: 'access', path: '/etc/x', mode: 0o644 }, ['chmod', '644', '/etc/x']],
  [{ kind: 'access', path: '/etc/x', owner: { uid: 1, gid: 2 } }, ['chown', '1:2', '/etc/x']],
  [{ kind: 'run', argv: ['chmod', 'u+x', '/etc/x'] }, ['chmod', 'u+x', '/etc/x']],
])('a mode or an owner that an older hardway recorded as a command is read as such: %j', async (undo, argv) => {
  append({ do: { kind: 'run', argv: [] }, undo: { kind: 'run', argv } });
  expect(await readLedger(path)).toMatchObject([{ undo }]);
});

test('nothing is appended after the run: the lab may be another one’s by then', async () => {
  const ledger = openLedger(path);
  ledger.append('etcd', write);
  ledger.close();
  expect(() => ledger.append('etcd', start)).toThrow(Bug);
  expect(await readLedger(path)).toMatchObject([write]);
});

const unit = (name: string, supervisor: 'systemd' | 'tmux'): Change => ({
  do: { kind: 'run', argv: [] },
  undo: { kind: 'unit', name, supervisor },
});

test.each([
  ['systemd', [write, unit('etcd', 'systemd')]],
  ['tmux', [write, unit('hardway-tmux', 'tmux')]],
  [undefined, [write]],
])('the ledger tells under whom the components run: %s', async (supervisor, changes) => {
  append(...changes);
  expect(supervisorIn(await readLedger(path))).toBe(supervisor);
});

describe('a change that hardway 0.1 wrote down', () => {
  const restore = { kind: 'restore', path: '/etc/y', from: '/kept' };
  const run = (...argv: readonly string[]) => ({ kind: 'run', argv });
  test.each<[string, object, Change]>([
    [
      'make folder /opt/x',
      { kind: 'remove-tree', path: '/opt/x' },
      { do: { kind: 'make-dir', path: '/opt/x' }, undo: { kind: 'remove-tree', path: '/opt/x' } },
    ],
    [
      'write /etc/y',
      restore,
      { do: { kind: 'write', path: '/etc/y' }, undo: { kind: 'restore', path: '/etc/y', from: '/kept' } },
    ],
    [
      'link /bin/y to /opt/a b',
      { kind: 'remove', path: '/bin/y' },
      { do: { kind: 'link', path: '/bin/y', target: '/opt/a b' }, undo: { kind: 'remove', path: '/bin/y' } },
    ],
    [
      'place /bin/z',
      { kind: 'remove', path: '/bin/z' },
      { do: { kind: 'place', path: '/bin/z' }, undo: { kind: 'remove', path: '/bin/z' } },
    ],
    [
      'tmux listens on /run/s',
      { kind: 'remove', path: '/run/s' },
      { do: { kind: 'expect', path: '/run/s', why: 'tmux listens on' }, undo: { kind: 'remove', path: '/run/s' } },
    ],
    [
      "echo 'a b' 'it'\\''s' ''",
      run('true'),
      { do: { kind: 'run', argv: ['echo', 'a b', "it's", ''] }, undo: { kind: 'run', argv: ['true'] } },
    ],
    [
      'modprobe overlay',
      run('modprobe', '--remove', '--quiet', 'overlay'),
      { do: { kind: 'run', argv: ['modprobe', 'overlay'] }, undo: { kind: 'module', name: 'overlay' } },
    ],
    [
      'systemctl enable --no-reload etcd.service',
      run('systemctl', 'disable', 'etcd.service'),
      {
        do: { kind: 'run', argv: ['systemctl', 'enable', '--no-reload', 'etcd.service'] },
        undo: { kind: 'unit', name: 'etcd', supervisor: 'systemd' },
      },
    ],
    [
      'systemctl restart hardway-tmux',
      run('systemctl', 'stop', 'hardway-tmux'),
      {
        do: { kind: 'run', argv: ['systemctl', 'restart', 'hardway-tmux'] },
        undo: { kind: 'unit', name: 'hardway-tmux', supervisor: 'tmux' },
      },
    ],
    [
      'bash',
      run('tmux', '-S', '/run/hardway-tmux', 'kill-session', '-t', '=apiserver'),
      { do: { kind: 'run', argv: ['bash'] }, undo: { kind: 'unit', name: 'apiserver', supervisor: 'tmux' } },
    ],
    [
      'bash',
      run('tmux', 'kill-session', '-t', 'mine'),
      { do: { kind: 'run', argv: ['bash'] }, undo: { kind: 'run', argv: ['tmux', 'kill-session', '-t', 'mine'] } },
    ],
  ])('is read as data: %s', async (what, undo, change) => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `${JSON.stringify({ at: 'then', step: 'etcd', what, undo })}\n`);
    expect(await readLedger(path)).toEqual([{ at: 'then', step: 'etcd', ...change }]);
  });
});

test('an undo of every kind is read back', async () => {
  const undos: readonly Change['undo'][] = [
    { kind: 'remove', path: '/a', sha256: '0' },
    { kind: 'remove-tree', path: '/b' },
    { kind: 'restore', path: '/c', from: '/d' },
    { kind: 'run', argv: ['true'] },
    { kind: 'packages', names: ['iptables', 'libnftnl11'] },
    { kind: 'unit', name: 'etcd', supervisor: 'systemd' },
    { kind: 'module', name: 'overlay' },
  ];
  append(...undos.map((undo): Change => ({ do: { kind: 'run', argv: [] }, undo })));
  expect((await readLedger(path)).map(({ undo }) => undo)).toEqual(undos);
});

test('a ledger that was lost is written anew, with the folder around it, and read back as it was found', async () => {
  const { path: folder, remove } = await scratchFolder();
  const made = (undo: Undo): LedgerEntry => ({
    at: '2026-01-01T00:00:00.000Z',
    step: 'etcd',
    do: { kind: 'run', argv: [] },
    undo,
  });
  const entries = [made({ kind: 'remove', path: '/x' }), made({ kind: 'unit', name: 'etcd', supervisor: 'systemd' })];
  await writeLedger(`${folder}/lab/ledger.jsonl`, entries);
  expect(await readLedgerContent(`${folder}/lab/ledger.jsonl`)).toEqual({ entries, unreadable: [] });
  expect((await stat(`${folder}/lab`)).mode & 0o777).toBe(0o711);
  await remove();
});
