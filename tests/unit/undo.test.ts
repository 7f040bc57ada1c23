import { chmod, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { undoEntries } from '../../bin/reset/undo.ts';
import { createUndoer, type UndoEvent } from '../../lib/engine/gate.ts';
import { keepEntries, type LedgerEntry, openLedger, readLedger } from '../../lib/engine/ledger.ts';
import { sha256, statIfThere } from '../../lib/host/files.ts';
import type { Undo } from '../../lib/host/host.ts';
import { scratchFolder } from '../fixtures.ts';

let folder = '';
let told: UndoEvent[] = [];
beforeEach(async () => {
  const scratch = await scratchFolder();
  folder = scratch.path;
  told = [];
  return scratch.remove;
});
const at = (name: string): string => join(folder, name);

const entry = (undo: Undo, step = 'etcd'): LedgerEntry => ({ at: '2026-01-01T00:00:00.000Z', step, what: '', undo });

const undo = async (undos: readonly Undo[], dryRun = false) => {
  const gate = createUndoer(dryRun, (event) => told.push(event));
  await undoEntries(
    undos.map((one) => entry(one)),
    { gate, isOurs: () => true },
  );
  return gate;
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

test('a command that takes something back runs; one that fails is told and the rest goes on', async () => {
  await writeFile(at('file'), 'ours');
  const gate = await undo([
    { kind: 'remove', path: at('file') },
    { kind: 'run', argv: ['false'] },
  ]);
  expect(gate.failures).toEqual(['false']);
  expect(told).toContainEqual(expect.objectContaining({ event: 'failed', what: 'false' }));
  expect(await statIfThere(at('file'))).toBeUndefined();
});

test('a command about a file that is gone has nothing to take back', async () => {
  expect((await undo([{ kind: 'run', argv: ['chmod', '600', at('gone')] }])).failures).toEqual([]);
});

test('a dry run says the same and touches nothing', async () => {
  await writeFile(at('unit'), 'ours');
  await undo([{ kind: 'remove', path: at('unit'), sha256: sha256('ours') }], true);
  expect(await readdir(folder)).toEqual(['unit']);
  expect(told).toEqual([{ event: 'undo', group: 'files and folders', what: `remove ${at('unit')}` }]);
});

test('of the ledger only the entries of the steps that stay are kept, a torn last line is not', async () => {
  const file = at('ledger.jsonl');
  const ledger = openLedger(file);
  ledger.append('etcd', { what: 'one', undo: { kind: 'remove', path: '/one' } });
  ledger.append('kubelet', { what: 'two', undo: { kind: 'remove', path: '/two' } });
  ledger.close();
  await writeFile(file, '{"at":"20', { flag: 'a' });
  await keepEntries(file, ['etcd']);
  expect((await readLedger(file)).map(({ what }) => what)).toEqual(['one']);
  expect(await readFile(file, 'utf8')).not.toContain('{"at":"20\n');
});
