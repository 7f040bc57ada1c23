import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { purgeCache } from '../../bin/reset/clean/cache.ts';
import { openGate, type UndoEvent } from '../../lib/engine/gate.ts';
import { paths } from '../../lib/host/paths.ts';

vi.mock('../../lib/host/paths.ts', async (original) => {
  const { mkdtempSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const module = await original<typeof import('../../lib/host/paths.ts')>();
  const folder = mkdtempSync(`${tmpdir()}/purge-`);
  return { ...module, paths: { ...module.paths, cache: `${folder}/cache`, vms: `${folder}/vms` } };
});

const folders = ['bin', 'build', 'compiled', 'downloads', 'images', 'manifests', 'mine', 'node', 'vm'];
beforeEach(async () => {
  for (const name of folders) {
    await mkdir(`${paths.cache}/${name}`, { recursive: true });
    await writeFile(`${paths.cache}/${name}/file`, '');
  }
});
afterEach(() => rm(dirname(paths.cache), { recursive: true, force: true }));

const purge = async (dryRun = false): Promise<readonly UndoEvent[]> => {
  const told: UndoEvent[] = [];
  const { failures, runStage } = openGate(dryRun, (event) => told.push(event));
  await runStage('cache purged', (undoer) => purgeCache({ undoer, failures }));
  expect(failures).toEqual([]);
  return told;
};

test('downloads and builds go by name; the Node that hardway runs with stays, and what we do not know', async () => {
  await purge();
  expect(await readdir(paths.cache)).toEqual(['compiled', 'mine', 'node']);
});

test('nothing goes while this machine has a VM: its disk and its programs are in the cache', async () => {
  await mkdir(`${paths.vms}/class`, { recursive: true });
  expect(await purge()).toEqual([{ event: 'kept', what: expect.stringMatching(/VMs of this machine.*class/) }]);
  expect(await readdir(paths.cache)).toEqual(folders);
});

test('a dry run names each folder and removes none', async () => {
  expect((await purge(true)).map((event) => event.event)).toEqual(Array(6).fill('undo'));
  expect(await readdir(paths.cache)).toEqual(folders);
});

test('where there is no cache there is nothing to drop', async () => {
  await rm(paths.cache, { recursive: true });
  expect(await purge()).toEqual([]);
});
