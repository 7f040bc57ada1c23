import { appendFile, readFile, stat } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLedger, ownedPaths, readLedger } from '../../lib/engine/ledger.ts';
import type { Change } from '../../lib/host/host.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let path: string;
beforeEach(async () => {
  scratch = await scratchFolder();
  path = `${scratch.path}/lab/ledger.jsonl`;
});
afterEach(() => scratch.remove());

const write: Change = { what: 'write /etc/x', undo: { kind: 'remove', path: '/etc/x', sha256: 'abc' } };
const start: Change = { what: 'systemctl start etcd', undo: { kind: 'run', argv: ['systemctl', 'stop', 'etcd'] } };

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

test('owned paths are those of files and folders that we made, not of commands', async () => {
  append(write, start, { what: 'make folder /opt/x', undo: { kind: 'remove-tree', path: '/opt/x' } });
  expect([...ownedPaths(await readLedger(path))]).toEqual(['/etc/x', '/opt/x']);
});
