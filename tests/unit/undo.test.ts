import {
  chmod,
  lchown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { planReset } from '../../bin/reset/plan.ts';
import { undoChanges } from '../../bin/reset/undo.ts';
import { openGate, type UndoEvent } from '../../lib/engine/gate.ts';
import {
  keepEntries,
  type LedgerEntry,
  openLedger,
  ownedPaths,
  readLedger,
  readLedgerContent,
} from '../../lib/engine/ledger.ts';
import type { Change, Undo } from '../../lib/host/change.ts';
import { sha256, statIfThere } from '../../lib/host/files.ts';
import { paths } from '../../lib/host/paths.ts';
import { placedFrom } from '../../lib/host/placed.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';

let folder = '';
let told: UndoEvent[] = [];
beforeEach(async () => {
  const scratch = await scratchFolder();
  folder = scratch.path;
  told = [];
  return scratch.remove;
});
const at = (name: string): string => join(folder, name);

const nothing: Change['do'] = { kind: 'run', argv: ['true'] };
const entry = (undo: Undo, step = 'etcd'): LedgerEntry => ({ at: '2026-01-01T00:00:00.000Z', step, do: nothing, undo });

/** Takes changes back as a whole reset does, and returns what failed. */
const undo = async (
  undos: readonly (Undo | LedgerEntry)[],
  { dryRun = false, sharesContainers = false, filled = [] as readonly string[] } = {},
): Promise<readonly string[]> => {
  const { failures, remaining, runStage } = openGate(dryRun, (event) => told.push(event));
  const entries = undos.map((one) => ('do' in one ? one : entry(one)));
  const found = { entries, state: undefined, before: undefined };
  const plan = planReset({ found, to: undefined, sharesContainers, purges: false });
  const leaves = { ...plan.leaves, paths: filled, shared: filled };
  const { signal } = new AbortController();
  await runStage('own changes', (undoer) =>
    undoChanges({
      ...{ undoer, failures, remaining, signal, before: undefined, reportDifference: () => {} },
      plan: { ...plan, leaves },
    }),
  );
  return failures;
};
const kept = () => told.flatMap((event) => (event.event === 'kept' ? [event.what] : []));

test('a file that we wrote is removed, with what a crash left beside it', async () => {
  await writeFile(at('unit'), 'ours');
  await writeFile(at('unit.hardway-99999999'), 'ou');
  await undo([{ kind: 'remove', path: at('unit'), sha256: sha256('ours') }]);
  expect(await readdir(folder)).toEqual([]);
});

test('a file that somebody changed since is kept beside, and named', async () => {
  await writeFile(at('unit'), 'theirs');
  await undo([{ kind: 'remove', path: at('unit'), sha256: sha256('ours') }]);
  expect(await readdir(folder)).toEqual(['unit.hardway-kept']);
  expect(kept()).toEqual([`${at('unit')} was changed since hardway wrote it: it is now ${at('unit')}.hardway-kept`]);
});

test('a file that was kept beside by an earlier reset is not overwritten', async () => {
  await writeFile(at('unit.hardway-kept'), 'older');
  await writeFile(at('unit'), 'theirs');
  await undo([{ kind: 'remove', path: at('unit'), sha256: sha256('ours') }]);
  expect(await readFile(at('unit.hardway-kept'), 'utf8')).toBe('older');
  expect(await readFile(at('unit.hardway-kept-2'), 'utf8')).toBe('theirs');
});

test('any of the contents that we wrote is ours: a crash may have come before the last write', async () => {
  await writeFile(at('unit'), 'first');
  await undo([
    { kind: 'remove', path: at('unit'), sha256: sha256('first') },
    { kind: 'remove', path: at('unit'), sha256: sha256('second') },
  ]);
  expect(await readdir(folder)).toEqual([]);
});

test('a file that was there before is put back with its mode, however often we wrote ours', async () => {
  await writeFile(at('kept'), 'before');
  await chmod(at('kept'), 0o640);
  await writeFile(at('conf'), 'second');
  const undos: Undo[] = [
    { kind: 'restore', path: at('conf'), from: at('kept'), sha256: sha256('first') },
    { kind: 'remove', path: at('conf'), sha256: sha256('second') },
  ];
  await undo(undos);
  expect(await readFile(at('conf'), 'utf8')).toBe('before');
  expect((await stat(at('conf'))).mode & 0o777).toBe(0o640);

  await undo(undos); // as a reset does that was interrupted
  expect(await readFile(at('conf'), 'utf8')).toBe('before');
  expect(kept()).toEqual([]);
});

test('a link that was there before is a link again', async () => {
  await symlink('/nowhere', at('kept'));
  await symlink('/ours', at('tool'));
  await undo([{ kind: 'restore', path: at('tool'), from: at('kept') }]);
  expect(await readlink(at('tool'))).toBe('/nowhere');
});

test('what is put back belongs to whom it belonged, a link too', async (context) => {
  needsRoot(context);
  await writeFile(at('kept-file'), 'before');
  await symlink('/nowhere', at('kept-link'));
  for (const name of ['kept-file', 'kept-link']) await lchown(at(name), 4321, 8765);
  await undo([
    { kind: 'restore', path: at('file'), from: at('kept-file') },
    { kind: 'restore', path: at('link'), from: at('kept-link') },
  ]);
  for (const name of ['file', 'link']) expect(await lstat(at(name)), name).toMatchObject({ uid: 4321, gid: 8765 });
});

test('changes are taken back in the reverse of their order', async () => {
  await mkdir(at('a/b'), { recursive: true });
  await writeFile(at('a/b/c'), 'ours');
  await undo([
    { kind: 'remove-tree', path: at('a') },
    { kind: 'remove-tree', path: at('a/b') },
    { kind: 'remove', path: at('a/b/c') },
  ]);
  expect(told.map((event) => ('what' in event ? event.what.replace(folder, '') : ''))).toEqual([
    'remove /a/b/c',
    'remove folder /a/b',
    'remove folder /a',
  ]);
});

test('a folder that we made stays while something of somebody else is in it, and that is named', async () => {
  await mkdir(at('bin'));
  await writeFile(at('bin/plugin'), 'theirs');
  expect(await undo([{ kind: 'remove-tree', path: at('bin') }])).toEqual([]);
  expect(await readFile(at('bin/plugin'), 'utf8')).toBe('theirs');
  expect(kept()).toEqual([`${at('bin')}: plugin in it is not ours`]);
});

test('a folder that a daemon fills goes with everything in it, unless the daemon works for others too', async () => {
  const data = at('data');
  await mkdir(`${data}/inner`, { recursive: true });
  await undo([{ kind: 'remove-tree', path: data }], { filled: [data], sharesContainers: true });
  expect(await readdir(data)).toEqual(['inner']);
  await undo([{ kind: 'remove-tree', path: data }], { filled: [data] });
  expect(await statIfThere(data)).toBeUndefined();
});

test('units and modules are not taken back one by one: a module may still be in use at that point', async () => {
  await undo([
    { kind: 'module', name: 'nf_conntrack' },
    { kind: 'unit', name: 'etcd', supervisor: 'systemd' },
  ]);
  expect(told).toEqual([]);
});

test('a command that takes something back runs; one that fails is told and the rest goes on', async () => {
  await writeFile(at('file'), 'ours');
  const failures = await undo([
    { kind: 'remove', path: at('file') },
    { kind: 'run', argv: ['false'] },
  ]);
  expect(failures).toEqual(['false']);
  expect(told).toContainEqual(expect.objectContaining({ event: 'failed', what: 'false' }));
  expect(await statIfThere(at('file'))).toBeUndefined();
});

test('a command about a file that is gone has nothing to take back', async () => {
  expect(await undo([{ kind: 'run', argv: ['chmod', '600', at('gone')] }])).toEqual([]);
});

test('a dry run does not even remove what a killed write left', async () => {
  await writeFile(at('unit.hardway-99999999'), 'ou');
  await undo([{ kind: 'remove', path: at('unit') }], { dryRun: true });
  expect(await readdir(folder)).toEqual(['unit.hardway-99999999']);
  await undo([{ kind: 'remove', path: at('unit') }]);
  expect(await readdir(folder)).toEqual([]);
});

test('a dry run says the same and touches nothing', async () => {
  await writeFile(at('unit'), 'ours');
  await undo([{ kind: 'remove', path: at('unit'), sha256: sha256('ours') }], { dryRun: true });
  expect(await readdir(folder)).toEqual(['unit']);
  expect(told).toEqual([{ event: 'undo', group: 'own changes', what: `remove ${at('unit')}` }]);
});

test('of the ledger only the entries of the steps that stay are kept, a torn last line is not', async () => {
  const file = at('ledger.jsonl');
  const ledger = openLedger(file);
  ledger.append('etcd', { do: nothing, undo: { kind: 'remove', path: '/one' } });
  ledger.append('kubelet', { do: nothing, undo: { kind: 'remove', path: '/two' } });
  ledger.close();
  await writeFile(file, '{"at":"20', { flag: 'a' });
  await keepEntries(file, ['etcd']);
  expect(await readLedger(file)).toMatchObject([{ step: 'etcd', undo: { path: '/one' } }]);
  expect(await readFile(file, 'utf8')).not.toContain('{"at":"20\n');
});

test('a file whose kept copy is gone was put back by a reset that was killed: it stays, and is no longer ours', async () => {
  await writeFile(at('kubectl'), 'theirs');
  const gone: Undo = { kind: 'restore', path: at('kubectl'), from: at('gone'), sha256: sha256('ours') };
  expect(await undo([gone])).toEqual([]);
  expect(await readFile(at('kubectl'), 'utf8')).toBe('theirs');
  expect([...ownedPaths([entry(gone)])]).toEqual([]);
  await writeFile(at('gone'), 'theirs');
  expect([...ownedPaths([entry(gone)])]).toEqual([at('kubectl')]);
});

test('a file whose kept copy is a link that leads nowhere is still ours: the copy is there', async () => {
  await symlink('/nowhere', at('copy'));
  const made: Undo = { kind: 'restore', path: at('etcdctl'), from: at('copy') };
  expect([...ownedPaths([entry(made)])]).toEqual([at('etcdctl')]);
});

test('a line that cannot be read stays in a shortened ledger, for the next reset to name', async () => {
  const file = at('ledger.jsonl');
  const ledger = openLedger(file);
  ledger.append('etcd', { do: nothing, undo: { kind: 'remove', path: '/one' } });
  ledger.append('kubelet', { do: nothing, undo: { kind: 'remove', path: '/two' } });
  ledger.close();
  await writeFile(file, '{"some":"line of somebody"}\n', { flag: 'a' });
  await keepEntries(file, ['etcd']);
  const { entries, unreadable } = await readLedgerContent(file);
  expect(entries).toMatchObject([{ step: 'etcd' }]);
  expect(unreadable).toHaveLength(1);
});

test('a link that somebody has turned elsewhere since is kept beside, and named', async () => {
  await symlink('/theirs', at('tool'));
  const made: LedgerEntry = {
    ...entry({ kind: 'remove', path: at('tool') }),
    do: { kind: 'link', path: at('tool'), target: '/ours' },
  };
  await undo([made]);
  expect(await readlink(at('tool.hardway-kept'))).toBe('/theirs');
  expect(kept()).toHaveLength(1);
});

test('of a thing that a staying step changed too the later changes stay, and are that step’s from then on', async () => {
  const file = at('ledger.jsonl');
  const ledger = openLedger(file);
  const of = (step: string, undone: Undo) => ledger.append(step, { do: nothing, undo: undone });
  of('etcd', { kind: 'remove', path: '/tmux.conf', sha256: 'old' });
  of('etcd', { kind: 'remove', path: '/logs/etcd.log' });
  of('kubelet', { kind: 'remove', path: '/tmux.conf', sha256: 'new' });
  of('kubelet', { kind: 'remove-tree', path: '/logs' });
  of('kubelet', { kind: 'remove', path: '/logs/kubelet.log' });
  of('kubelet', { kind: 'remove-tree', path: '/log' });
  ledger.close();
  const found = { entries: await readLedger(file), state: undefined, before: undefined };
  const plan = planReset({ found, to: 'etcd', sharesContainers: false, purges: false });
  expect(plan.entries.map((one) => one.undo)).toMatchObject([{ path: '/logs/kubelet.log' }, { path: '/log' }]);

  await keepEntries(file, ['etcd']);
  expect(await readLedger(file)).toMatchObject([
    { step: 'etcd', undo: { sha256: 'old' } },
    { step: 'etcd', undo: { path: '/logs/etcd.log' } },
    { step: 'etcd', undo: { path: '/tmux.conf', sha256: 'new' } },
    { step: 'etcd', undo: { path: '/logs' } },
  ]);
});

describe('a program that was placed', () => {
  const place = (undo: Undo): LedgerEntry => ({ ...entry(undo), do: { kind: 'place', path: at('kubectl') } });
  const removePlaced = async (): Promise<Extract<Undo, { kind: 'remove' }>> => {
    await writeFile(at('cached'), 'ours');
    await link(at('cached'), at('kubectl'));
    return { kind: 'remove', path: at('kubectl'), placed: placedFrom(at('cached'), await lstat(at('cached'))) };
  };

  test('is removed, as a hard link and as a symbolic link', async () => {
    const made = await removePlaced();
    await undo([place(made)]);
    await symlink(at('cached'), at('kubectl'));
    await undo([place(made)]);
    expect(await readdir(folder)).toEqual(['cached']);
    expect(kept()).toEqual([]);
  });

  test.each([
    ['replaced', (path: string) => rm(path).then(() => writeFile(path, 'of somebody else'))],
    ['written over', (path: string) => writeFile(path, 'of somebody else')],
    ['turned elsewhere', (path: string) => rm(path).then(() => symlink('/theirs', path))],
  ])('and that somebody has %s since is kept beside, and named', async (_, replace) => {
    const made = await removePlaced();
    await replace(at('kubectl'));
    await undo([place(made)]);
    expect(await readdir(folder)).toEqual(['cached', 'kubectl.hardway-kept']);
    expect(kept()).toHaveLength(1);
  });

  test('by an older hardway goes, whatever it is', async () => {
    const made = await removePlaced();
    await writeFile(at('kubectl'), 'of somebody else');
    await undo([place({ kind: 'remove', path: at('kubectl') }), place(made)]);
    expect(await readdir(folder)).toEqual(['cached']);
  });

  test('over one that somebody had put in the place of ours gives that one back', async () => {
    const made = await removePlaced();
    await writeFile(at('kept'), 'of somebody else');
    await undo([place(made), place({ ...made, kind: 'restore', from: at('kept') })]);
    expect(await readFile(at('kubectl'), 'utf8')).toBe('of somebody else');
    expect(kept()).toEqual([]);
  });
});

describe('a mode that was set', () => {
  test('is set back, also where a file was put back in its place', async () => {
    await writeFile(at('config'), 'ours');
    await writeFile(at('kept'), 'before', { mode: 0o600 });
    await undo([
      { kind: 'access', path: at('config'), mode: 0o640 },
      { kind: 'restore', path: at('config'), from: at('kept'), sha256: sha256('ours') },
    ]);
    expect((await stat(at('config'))).mode & 0o777).toBe(0o640);
    expect(await readFile(at('config'), 'utf8')).toBe('before');
    expect(told.map((event) => ('what' in event ? event.what.replace(folder, '') : ''))).toEqual([
      'put back /config',
      'chmod 640 /config',
    ]);
  });

  test('is set back also of the lab’s own folder, which stays where it is a disk of its own', async () => {
    const root = vi.spyOn(paths, 'root', 'get').mockReturnValue(folder as typeof paths.root);
    await writeFile(at('state'), 'ours');
    await undo([
      { kind: 'access', path: folder, mode: 0o755 },
      { kind: 'remove', path: at('state') },
    ]);
    root.mockRestore();
    expect((await stat(folder)).mode & 0o777).toBe(0o755);
    expect(await readdir(folder)).toEqual(['state']);
  });

  test('stays where a link is there by now: what it leads to is somebody else’s', async () => {
    await writeFile(at('shadow'), 'secret', { mode: 0o600 });
    await symlink(at('shadow'), at('config'));
    expect(await undo([{ kind: 'access', path: at('config'), mode: 0o644 }])).toEqual([]);
    expect((await stat(at('shadow'))).mode & 0o777).toBe(0o600);
    expect(kept()).toEqual([`${at('config')} is a link by now: what it leads to keeps its mode and its owner`]);
  });
});
