import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Bug } from '../engine/errors.ts';
import type { Arch } from '../engine/lab.ts';
import { readText } from '../host/files.ts';
import { binaryPath, recipeOf, store, temporaryFor } from './cache.ts';
import type { Report } from './progress.ts';
import { expand, type Product, type PublishedFile, productOf } from './versions.ts';

interface Options {
  /** Version of Kubernetes that the files belong to; absent for the usual one. */
  readonly kubernetes?: string | undefined;
  readonly arch: Arch;
  readonly cache: string;
  readonly report: Report;
  readonly signal?: AbortSignal | undefined;
}

/** A published file, its variables of versions.yaml filled in. */
export interface Planned {
  readonly url: string;
  /** Undefined where the site publishes the checksum beside the file. */
  readonly sha256: string | undefined;
  /** Binary name to its path in the tarball; to undefined where the file itself is the binary. */
  readonly binaries: ReadonlyMap<string, string | undefined>;
  readonly productName: string;
  readonly product: Product;
}

const fileOf = (product: Product, binary: string): PublishedFile => {
  const file = product.files?.find((one) => one.binary === binary || (one.members && binary in one.members));
  if (!file) throw new Bug(`versions.yaml has no published file for ${binary}`);
  return file;
};

/** Returns the files that contain these binaries, each once, with every binary that is taken out of it. */
export const plan = (binaries: readonly string[], arch: Arch, kubernetes?: string): Planned[] => {
  const files = new Map<PublishedFile, Planned>();
  for (const binary of binaries) {
    const { name, product } = productOf(binary, kubernetes);
    const file = fileOf(product, binary);
    const fill = (template: string) => expand(template, product.version, arch);
    const members = Object.entries(file.members ?? {}).map(([member, path]) => [member, fill(path)] as const);
    files.set(file, {
      url: fill(file.url),
      sha256: file.sha256?.[arch],
      binaries: new Map<string, string | undefined>(file.binary ? [[file.binary, undefined]] : members),
      productName: name,
      product,
    });
  }
  return [...files.values()];
};

const fetchOne = async (file: Planned, { arch, cache, report, signal }: Options): Promise<void> => {
  const { fetchVerified, publishedSum } = await import('./download.ts');
  const downloads = join(cache, 'downloads');
  await mkdir(downloads, { recursive: true });
  const name = basename(file.url);
  const place = join(downloads, file.url.replace(/^https:\/\//, '').replaceAll('/', '_'));
  const remembered = await readText(`${place}.sha256`).catch(() => undefined);
  const sha256 = file.sha256 ?? remembered?.trim() ?? (await publishedSum(file.url, signal));
  await fetchVerified(name, file.url, sha256, `${place}.part`, { report, signal });
  if (!file.sha256 && !remembered) await writeFile(`${place}.sha256`, `${sha256}\n`);

  const recipe = recipeOf('release', file.product);
  const targets = await Promise.all(
    [...file.binaries].map(async ([binary, member]) => {
      const path = binaryPath(cache, arch, file.productName, file.product.version, binary);
      return { member, path, temporary: await temporaryFor(path) };
    }),
  );
  try {
    const members = new Map(targets.flatMap(({ member, temporary }) => (member ? [[member, temporary] as const] : [])));
    if (members.size > 0) {
      const { unpack } = await import('./unpack.ts');
      report({ name, state: 'unpacking' });
      await unpack(`${place}.part`, members);
    }
    for (const { member, path, temporary } of targets) {
      if (!member) await rename(`${place}.part`, temporary);
      await store(temporary, path, { origin: 'release', recipe, mode: 0o755 });
    }
    await rm(`${place}.part`, { force: true });
  } finally {
    await Promise.all(targets.map(({ temporary }) => rm(temporary, { force: true })));
  }
  report({ name, state: 'done' });
};

/**
 * Downloads, verifies and unpacks the files of these binaries into the cache, four at a time. The first failure aborts
 * the others.
 */
export const fetchRelease = async (binaries: readonly string[], options: Options): Promise<void> => {
  const { default: pMap } = await import('p-map');
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  const files = plan(binaries, options.arch, options.kubernetes);
  try {
    await pMap(files, (file) => fetchOne(file, { ...options, signal }), { concurrency: 4 });
  } catch (thrown) {
    failed.abort();
    throw thrown;
  }
};
