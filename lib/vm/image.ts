import { mkdir, readdir, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Bug } from '../engine/errors.ts';
import { sha256 } from '../host/files.ts';
import { paths } from '../host/paths.ts';
import { run } from '../host/run.ts';
import { type GuestFile, writeGuestFiles } from './guest.ts';
import type { Making } from './needs.ts';
import { cached } from './tree.ts';

const script = `${import.meta.dirname}/image.sh`;
const project = resolve(import.meta.dirname, '../..');

const inOwnMounts = (args: readonly string[], signal: AbortSignal | undefined) =>
  run('unshare', ['--mount', '--propagation', 'private', 'sh', script, ...args], { timeout: 1_800_000, signal });

/** Finds the kernel and initrd of a tree. Throws when it has none: a bug in packages.ts. */
export const kernelIn = async (tree: string): Promise<{ kernel: string; initrd: string }> => {
  const names = (await readdir(`${tree}/boot`)).sort();
  const kernel = names.find((name) => name.startsWith('vmlinuz-'));
  const initrd = names.find((name) => name.startsWith('initrd.img-'));
  if (!kernel || !initrd) throw new Bug(`${tree}/boot has no kernel and initrd`);
  return { kernel: `${tree}/boot/${kernel}`, initrd: `${tree}/boot/${initrd}` };
};

/**
 * Returns the cached folder with the disk image of a tree, with those files on it, and its kernel; makes it at the
 * first call.
 */
export const cachedImage = (tree: string, files: readonly GuestFile[], { report, signal }: Making): Promise<string> => {
  const hash = sha256(JSON.stringify(files)).slice(0, 8);
  const name = `${tree.slice(tree.lastIndexOf('/') + 1)}-image-${hash}`;
  return cached(name, async (folder) => {
    report('Making a disk image of it (once)');
    const stage = `${folder}/stage`;
    await mkdir(stage);
    await writeGuestFiles(`${folder}/files`, files);
    await inOwnMounts(['root', tree, `${folder}/files`, stage, `${folder}/root.img`], signal);
    const { kernel, initrd } = await kernelIn(tree);
    await run('cp', [kernel, `${folder}/kernel`], { signal });
    await run('cp', [initrd, `${folder}/initrd`], { signal });
    await rm(stage, { recursive: true });
  });
};

/** Makes the data disk of a VM: the project, the cache and the files of `seed` as they are now. */
export const makeDataDisk = async (folder: string, signal: AbortSignal | undefined): Promise<void> => {
  const stage = `${folder}/stage`;
  await rm(stage, { recursive: true, force: true });
  await mkdir(stage);
  await inOwnMounts(['data', project, paths.cache, `${folder}/seed`, stage, `${folder}/data.img`], signal);
  await rm(stage, { recursive: true });
};
