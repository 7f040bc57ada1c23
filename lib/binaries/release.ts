import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Bug } from '../engine/errors.ts';
import type { Arch } from '../engine/lab.ts';
import { readText } from '../host/files.ts';
import { binaryPath, recipeOf, store, temporaryFor } from './cache.ts';
import type { FileProgress } from './progress.ts';
import { createQueue } from './queue.ts';
import { expand, type Product, type PublishedFile, productOf } from './versions.ts';

interface Options {
  /** Version of Kubernetes that the files belong to; absent for the usual one. */
  readonly kubernetes?: string | undefined;
  readonly arch: Arch;
  readonly cache: string;
  readonly report: (progress: FileProgress) => void;
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
  signal?.throwIfAborted();
  const { fetchVerified, publishedSum } = await import('./download.ts');
  const downloads = join(cache, 'downloads');
  await mkdir(downloads, { recursive: true });
  const name = basename(file.url);
  const place = join(downloads, file.url.replace(/^https:\/\//, '').replaceAll('/', '_'));
  const remembered = await readText(`${place}.sha256`).catch(() => undefined);
  const sha256 = file.sha256 ?? remembered?.trim() ?? (await publishedSum(file.url, { report, signal }));
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
      await store(temporary, path, { origin: 'release', recipe, mode: 0o755, ...(!member && { sha256 }) });
    }
    await rm(`${place}.part`, { force: true });
  } finally {
    await Promise.all(targets.map(({ temporary }) => rm(temporary, { force: true })));
  }
  report({ name, state: 'done' });
};

/** Files that come at the same time. */
const atOnce = 4;

/** Asks how large the files are that have to wait for their turn. The sum is for a person, so nothing is made of a failure. */
const announce = async (files: readonly Planned[], { report, signal }: Options): Promise<void> => {
  const { probe } = await import('./download.ts');
  for (const { url } of files.slice(atOnce)) {
    probe(url, signal).then(
      (total) => report({ name: basename(url), state: 'announced', ...(total !== undefined && { total }) }),
      () => undefined,
    );
  }
};

/**
 * Starts to download, verify and unpack the files of these binaries into the cache, in this order, four at a time.
 * Returns for each binary what ends when it is there. The first failure ends all of them with its reason: a UserError.
 */
export const startRelease = (binaries: readonly string[], options: Options): ReadonlyMap<string, Promise<void>> => {
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  const queue = createQueue(atOnce);
  const files = plan(binaries, options.arch, options.kubernetes);
  for (const { url } of files) options.report({ name: basename(url), state: 'announced' });
  void announce(files, { ...options, signal });
  const coming = files.map(async (file) => {
    try {
      await queue(() => fetchOne(file, { ...options, signal }));
    } catch (thrown) {
      failed.abort(thrown);
      throw signal.reason;
    }
  });
  return new Map(
    files.flatMap((file, index) => {
      const one = coming[index] as Promise<void>;
      one.catch(() => undefined); // awaited by whoever needs it
      return [...file.binaries.keys()].map((binary) => [binary, one] as const);
    }),
  );
};
