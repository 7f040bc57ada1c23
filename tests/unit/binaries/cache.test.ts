import { readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { archiveName, cached, recipeOf, seemsCached, store, temporaryFor } from '../../../lib/binaries/cache.ts';
import { productOf, versions } from '../../../lib/binaries/versions.ts';
import { scratchFolder } from '../../fixtures.ts';

let folder: string;
let path: string;
const wanted = [['go', 'r1']] as const;

beforeEach(async () => {
  const scratch = await scratchFolder();
  folder = scratch.path;
  path = join(folder, 'bin/thing');
  const temporary = await temporaryFor(path);
  await writeFile(temporary, 'right');
  await store(temporary, path, { origin: 'go', recipe: 'r1', mode: 0o755 });
  return scratch.remove;
});

test('what was kept is in the cache and executable', async () => {
  expect(await cached(path, wanted)).toBe('go');
  expect((await stat(path)).mode & 0o777).toBe(0o755);
});

test('what was never kept is not in the cache', async () => {
  expect(await cached(join(folder, 'other'), wanted)).toBeUndefined();
});

test('a file without its record does not count: a run was ended before it was verified', async () => {
  await rm(`${path}.json`);
  expect(await cached(path, wanted)).toBeUndefined();
});

test('a broken record does not count', async () => {
  await writeFile(`${path}.json`, '{');
  expect(await cached(path, wanted)).toBeUndefined();
});

test('another recipe or another source does not count, and the file stays', async () => {
  expect(await cached(path, [['go', 'r2']])).toBeUndefined();
  expect(await cached(path, [['release', 'r1']])).toBeUndefined();
  expect(await readFile(path, 'utf8')).toBe('right');
});

test('a file that was only touched is right, and known as such from then on', async () => {
  await utimes(path, 1, 1);
  expect(await cached(path, wanted)).toBe('go');
  expect(JSON.parse(await readFile(`${path}.json`, 'utf8')).mtimeMs).toBe(1000);
});

test.each(['wrong', 'longer than before', ''])('a corrupted file (%j) is noticed and removed', async (text) => {
  await writeFile(path, text);
  expect(await cached(path, wanted)).toBeUndefined();
  await expect(stat(path)).rejects.toThrow('ENOENT');
});

test('a look finds the same and changes nothing: not a file that was touched, not one with another content', async () => {
  expect(await seemsCached(path, wanted)).toBe('go');
  expect(await seemsCached(path, [['go', 'r2']])).toBeUndefined();
  const record = await readFile(`${path}.json`, 'utf8');
  await utimes(path, 1, 1);
  expect(await seemsCached(path, wanted)).toBe('go');
  await writeFile(path, 'longer than before');
  expect(await seemsCached(path, wanted)).toBeUndefined();
  expect(await readFile(path, 'utf8')).toBe('longer than before');
  expect(await readFile(`${path}.json`, 'utf8')).toBe(record);
});

test('what a killed run left long ago is removed, what another run works on is not', async () => {
  const left = await temporaryFor(path);
  const current = await temporaryFor(path);
  for (const name of [left, current]) await writeFile(name, '');
  await utimes(left, 1, 1);
  await temporaryFor(path);
  await expect(stat(left)).rejects.toThrow('ENOENT');
  expect((await stat(current)).isFile()).toBe(true);
});

test('a change of flags changes the recipe of a build, not that of a download', () => {
  const { product } = productOf('containerd');
  const changed = { ...product, tags: ['other'] };
  expect(recipeOf('go', changed)).not.toBe(recipeOf('go', product));
  expect(recipeOf('release', changed)).toBe(recipeOf('release', product));
});

test('a change of command changes the recipe of an image', () => {
  const { agnhost } = versions().images;
  if (!agnhost) throw new Error('versions.yaml has no agnhost');
  const { product } = productOf('agnhost');
  expect(recipeOf('go', product, { ...agnhost, command: ['netexec'] })).not.toBe(recipeOf('go', product, agnhost));
});

test('the archive of an image is named after its reference', () => {
  expect(archiveName('registry.k8s.io/pause:3.10.2')).toBe('registry.k8s.io_pause_3.10.2.tar');
});
