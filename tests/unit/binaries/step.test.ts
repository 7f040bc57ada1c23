import { chmod, copyFile, link, mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { binaryPath, cached, recipeOf, store, temporaryFor } from '../../../lib/binaries/cache.ts';
import { productOf } from '../../../lib/binaries/versions.ts';
import { readOnlyContext } from '../../../lib/engine/runner.ts';
import { paths } from '../../../lib/host/paths.ts';
import { run } from '../../../lib/host/run.ts';
import { binaries } from '../../../steps/binaries.ts';
import { stepsWith } from '../../../steps/index.ts';
import { plainLab, scratchFolder } from '../../fixtures.ts';

vi.mock('../../../lib/host/paths.ts', async (original) => {
  const real = await original<typeof import('../../../lib/host/paths.ts')>();
  return { ...real, paths: { ...real.paths } };
});

const { name: productName, product } = productOf('etcd');
let path: string;
let other: string;
let program: string;

beforeEach(async () => {
  const scratch = await scratchFolder();
  Object.assign(paths, { cache: join(scratch.path, 'cache'), bin: join(scratch.path, 'bin') });
  path = binaryPath(paths.cache, plainLab.machine.arch, productName, product.version, 'etcd');
  program = join(paths.bin, 'etcd');
  other = join(scratch.path, 'other');
  const temporary = await temporaryFor(path);
  await writeFile(temporary, 'published');
  await store(temporary, path, { origin: 'release', recipe: recipeOf('release', product), mode: 0o755 });
  await writeFile(other, 'my own build');
  await mkdir(dirname(program));
  await link(path, program);
  return scratch.remove;
});

/** What the checks of the step say of a lab that has etcd only. */
const faults = async (): Promise<readonly string[]> => {
  const needs = { programs: ['etcd'], plugins: [], images: [], identities: [] };
  const context = { ...readOnlyContext(plainLab, stepsWith(plainLab)), needs };
  const found = binaries.checks.map(({ probe }) =>
    probe(context, context.signal).then(
      () => [],
      (error: Error) => [error.message],
    ),
  );
  return (await Promise.all(found)).flat();
};

test('a program that is the file of the cache is as it was verified', async () => {
  expect(await faults()).toEqual([]);
});

test('cp over a program writes into the cache too: check says so, and the next up brings it anew', async () => {
  await run('cp', [other, program]);
  expect((await stat(path)).size).toBe('my own build'.length);
  expect(await faults()).toEqual([expect.stringMatching(/bin\/etcd was overwritten, and with it .*cache.*\/etcd/)]);
  expect(await cached(path, [['release', recipeOf('release', product)]])).toBeUndefined();
});

test('a program that was put in the place of ours is a person’s own, and leaves the cache alone', async () => {
  await copyFile(other, `${program}.new`);
  await rename(`${program}.new`, program);
  await chmod(program, 0o755);
  expect(await faults()).toEqual([]);
});
