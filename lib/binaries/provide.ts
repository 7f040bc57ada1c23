import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../engine/errors.ts';
import type { Arch } from '../engine/lab.ts';
import { requireOwnCache, requireOwnOrAsked } from '../engine/own.ts';
import type { Source } from '../engine/step.ts';
import type { Perform } from '../host/apt.ts';
import {
  archivePath,
  binaryPath,
  cached,
  isManualArchive,
  type LookForCached,
  type Origin,
  onDisk,
  publishedImage,
  recipeOf,
  requireWritable,
  seemsCached,
  store,
  temporaryFor,
} from './cache.ts';
import type { FileProgress, Report } from './progress.ts';
import { createQueue } from './queue.ts';
import { type Image, productOf, usualKubernetes, versions } from './versions.ts';

/** Name of a binary, or reference of an image, to what becomes its absolute path when it is there. */
export type Coming = ReadonlyMap<string, Promise<string>>;

export interface Provided {
  /** Origin of the programs and images that were missing; `cache` when none was. */
  readonly source: 'cache' | 'release' | 'go' | 'dir' | 'bundle';
  readonly binaries: Coming;
  /** Archives of images. */
  readonly images: Coming;
}

export interface ProvideOptions {
  readonly source: Source;
  /** The folder of source `dir`; the file or the address of source `bundle`. */
  readonly from?: string;
  readonly binaries: readonly string[];
  /** References of images. */
  readonly images: readonly string[];
  /** Mirror that is asked before the registry of an image. */
  readonly registryMirror?: string | undefined;
  /** Version of Kubernetes that the files belong to; absent for the usual one. */
  readonly kubernetes?: string | undefined;
  readonly arch: Arch;
  readonly cache: string;
  readonly report: Report;
  readonly signal?: AbortSignal;
  /** Installs the packages that a build needs. */
  readonly perform?: Perform;
}

type Recipes = readonly (readonly [Origin, string])[];

/** A program in the cache, or one that is missing there. */
interface CachedProgram {
  readonly kind: 'programs';
  readonly name: string;
  readonly path: string;
  /** Origin of the file in the cache; undefined when it is missing or stale. */
  readonly origin: Origin | undefined;
  /** Recipes of which any will do, each with its origin. */
  readonly recipes: Recipes;
}

/** The archive of an image; one that hardway cannot build has no `image`. */
interface CachedImage {
  readonly kind: 'images';
  /** Reference of the image. */
  readonly name: string;
  readonly image: Image | undefined;
  readonly path: string;
  readonly origin: Origin | undefined;
  readonly recipes: Recipes;
}

type CacheItem = CachedProgram | CachedImage;

/** Looks for a program in the cache; `origins` are those that are accepted. */
const findProgram = async (
  name: string,
  { arch, cache, kubernetes }: Pick<ProvideOptions, 'arch' | 'cache' | 'kubernetes'>,
  origins: readonly ('release' | 'go')[],
  look: LookForCached = cached,
): Promise<CachedProgram> => {
  const { name: productName, product } = productOf(name, kubernetes);
  const path = binaryPath(cache, arch, productName, product.version, name);
  const recipes = origins.map((one) => [one, recipeOf(one, product)] as const);
  return { kind: 'programs', name, path, origin: await look(path, recipes), recipes };
};

/** Looks for the archive of an image in the cache; every origin is accepted. */
const findImage = async (
  reference: string,
  { arch, cache, kubernetes }: ProvideOptions,
  look: LookForCached = cached,
): Promise<CachedImage> => {
  const image = Object.values(versions(kubernetes).images).find((one) => one.reference === reference);
  const path = archivePath(cache, arch, reference);
  const built = image ? [['go', recipeOf('go', productOf(image.binary, kubernetes).product, image)] as const] : [];
  const recipes: Recipes = [['release', publishedImage(reference)], ...built];
  const origin = (await look(path, recipes)) ?? (await isManualArchive(path));
  return { kind: 'images', name: reference, image, path, origin, recipes };
};

/** Builds one program, or the program of an image, which it packs. */
const buildOne = async (
  wanted: CacheItem,
  words: string,
  { arch, cache, kubernetes, report, signal, perform }: ProvideOptions,
  go: string,
): Promise<void> => {
  const { goBuild } = await import('./go.ts');
  const { kind, name, path } = wanted;
  const image = wanted.kind === 'images' ? wanted.image : undefined;
  const binary = image?.binary ?? name;
  const { name: productName, product } = productOf(binary, kubernetes);
  const temporary = await temporaryFor(path);
  const program = image ? `${temporary}.${binary}` : temporary;
  report({ kind, name, state: 'building', words });
  try {
    await goBuild(productName, product, binary, program, {
      go,
      arch,
      cache,
      report: (progress) => report({ ...progress, kind }),
      signal,
      perform,
    });
    if (image) {
      const { packImage } = await import('./image.ts');
      await onDisk(`packing ${name}`, path, () => packImage(image, arch, program, temporary));
    }
    await store(temporary, path, {
      origin: 'go',
      recipe: recipeOf('go', product, image),
      mode: image ? 0o644 : 0o755,
    });
  } finally {
    for (const left of new Set([program, temporary])) await rm(left, { force: true });
  }
};

/** Builds one after the other: Go itself uses every core, and linking Kubernetes takes 2 GB. */
const build = async (wanted: readonly CacheItem[], options: ProvideOptions, go: string): Promise<void> => {
  let last = '';
  for (const [index, one] of wanted.entries()) {
    const begun = performance.now();
    await buildOne(one, `${index + 1} of ${wanted.length}${last}`, options, go);
    last = `, the one before took ${Math.round((performance.now() - begun) / 1000)} s`;
  }
};

/** Starts to download images as archives. Each comes or fails by itself. */
const startImages = async (
  wanted: readonly CachedImage[],
  { arch, cache, registryMirror, report, signal }: ProvideOptions,
): Promise<ReadonlyMap<string, Promise<void>>> => {
  if (wanted.length === 0) return new Map();
  const { createImageFetcher } = await import('./registry.ts');
  const fetchImage = createImageFetcher({
    arch,
    cache,
    mirror: registryMirror,
    report: (progress) => report({ ...progress, kind: 'images' }),
    signal,
  });
  const fetchOne = async ({ name, path }: CachedImage): Promise<void> => {
    const temporary = await temporaryFor(path);
    try {
      await fetchImage(name, temporary);
      await store(temporary, path, { origin: 'release', recipe: publishedImage(name), mode: 0o644 });
    } finally {
      await rm(temporary, { force: true });
    }
  };
  for (const { name } of wanted) report({ kind: 'images', name, state: 'announced' });
  const coming = wanted.map((one) => fetchOne(one));
  for (const one of coming) one.catch(() => undefined); // awaited by whoever needs it
  return new Map(wanted.map(({ name }, index) => [name, coming[index] as Promise<void>]));
};

type Chosen = { readonly origin: 'release' } | { readonly origin: 'go'; readonly go: string };

const release: Chosen = { origin: 'release' };

/**
 * Chooses the source of what is missing, and the `go` to use. `origins` are those of the programs in the cache: one
 * that Go has begun to fill is completed by Go, so that the network is not asked, and where all programs came from a
 * release the images come from registries. Where there is no Go there is nothing to choose, and the release sites get
 * all their retries. Throws a UserError where Go is asked for and not there.
 */
const chooseSource = async (
  { source, kubernetes, arch, signal, report }: ProvideOptions,
  missing: readonly CacheItem[],
  origins: ReadonlySet<Origin>,
): Promise<Chosen> => {
  const programs = missing.filter(({ kind }) => kind === 'programs');
  if (missing.every((one) => one.kind === 'images' && !one.image)) return release; // Go builds none of these
  const released = source === 'dir' || (origins.size > 0 && !origins.has('go') && programs.length === 0);
  if (source === 'release' || (source !== 'go' && released)) return release;
  const { findGo } = await import('./toolchain.ts');
  const go = await findGo();
  if (!go && source === 'auto') return release;
  if (!go)
    throw new UserError(
      'there is no Go toolchain to build with: none on PATH, in /usr/local/go, ~/go or ~/sdk',
      'install Go from https://go.dev/dl; or hardway up --source release',
    );
  if (source === 'go' || origins.has('go')) return { origin: 'go', go };
  const { plan } = await import('./release.ts');
  const { silenceOf } = await import('./download.ts');
  const [site] = plan(
    programs.map(({ name }) => name),
    arch,
    kubernetes,
  );
  const silence = site && (await silenceOf(site.url, signal));
  if (site && silence === undefined) return release;
  if (silence !== undefined)
    report({ kind: 'programs', name: 'go', state: 'note', words: `${silence}: Go builds the programs instead` });
  return { origin: 'go', go };
};

/** Starts to download, or builds, what is missing. Returns what ends when each file is there. */
const bring = async (
  chosen: Chosen,
  programs: readonly CachedProgram[],
  images: readonly CachedImage[],
  options: ProvideOptions,
): Promise<ReadonlyMap<string, Promise<void>>> => {
  const built = chosen.origin === 'go' ? [...programs, ...images.filter(({ image }) => image)] : [];
  if (chosen.origin === 'go') await build(built, options, chosen.go);
  const { report } = options;
  const published = chosen.origin === 'go' || programs.length === 0 ? [] : programs.map(({ name }) => name);
  const files =
    published.length === 0
      ? []
      : (await import('./release.ts')).startRelease(published, {
          ...options,
          report: (progress) => report({ ...progress, kind: 'programs' }),
        });
  const archives = await startImages(
    images.filter((one) => !built.includes(one)),
    options,
  );
  return new Map([...files, ...archives]);
};

/**
 * Finds what is missing in a bundle. Throws UserError where one is not in it, or is another version of it than this
 * hardway uses.
 */
const inBundle = async (missing: readonly CacheItem[], { from, arch, kubernetes, signal }: ProvideOptions) => {
  const { lacks, openOwnBundle, partOf, requireFits } = await import('./bundle.ts');
  if (!from) throw new UserError('--source bundle needs the file', '--source bundle --from FILE');
  const bundle = await openOwnBundle(from, signal);
  requireFits(bundle, { arch, kubernetes: kubernetes ?? usualKubernetes() });
  const found = missing.map((item) => {
    const part = partOf(bundle, item.kind, item.name);
    const fits = item.recipes.some(([origin, recipe]) => part?.origin === origin && part.recipe === recipe);
    return { item, part: fits || part?.origin === 'hand' ? part : undefined };
  });
  const absent = found.filter(({ part }) => !part).map(({ item }) => item.name);
  if (absent.length > 0) throw lacks(bundle, absent);
  return { bundle, parts: found.flatMap(({ item, part }) => (part ? [{ item, part }] : [])) };
};

/** Starts to take what is missing out of a bundle, two at a time. Returns what ends when each file is there. */
const startBundle = async (
  missing: readonly CacheItem[],
  options: ProvideOptions,
): Promise<ReadonlyMap<string, Promise<void>>> => {
  const { cache, report, signal } = options;
  const { takePart } = await import('./bundle.ts');
  const { bundle, parts } = await inBundle(missing, options);
  const queue = createQueue(2);
  const takeOne = async ({ item: { kind, name, path }, part }: (typeof parts)[number]): Promise<void> => {
    const temporary = await temporaryFor(path);
    const tell = (progress: FileProgress) => report({ ...progress, kind });
    try {
      await takePart(bundle, part, temporary, { downloads: join(cache, 'downloads'), report: tell, signal });
      const { origin = 'hand', recipe = '', content } = part;
      if (origin === 'hand') await rename(temporary, path);
      else
        await store(temporary, path, {
          origin,
          recipe,
          mode: kind === 'programs' ? 0o755 : 0o644,
          ...(content && { sha256: content.sha256 }),
        });
      tell({ name, state: 'done' });
    } finally {
      await rm(temporary, { force: true });
    }
  };
  for (const { item, part } of parts)
    report({ kind: item.kind, name: item.name, state: 'announced', total: part.size });
  return new Map(
    parts.map((one) => {
      const coming = queue(() => takeOne(one));
      coming.catch(() => undefined); // awaited by whoever needs it
      return [one.item.name, coming] as const;
    }),
  );
};

const isMissing = ({ origin }: CacheItem): boolean => origin === undefined;

/** Returns those of these programs that the cache lacks, by a look that changes nothing. */
export const programsMissing = async (
  names: readonly string[],
  where: Pick<ProvideOptions, 'arch' | 'cache' | 'kubernetes'>,
): Promise<readonly string[]> => {
  const found = await Promise.all(names.map((name) => findProgram(name, where, ['release', 'go'], seemsCached)));
  return found.filter(isMissing).map(({ name }) => name);
};

/**
 * Throws UserError where a bundle cannot give a lab what the cache lacks: torn, altered, for another machine or version.
 * Writes nothing.
 */
export const requireBundle = async (options: ProvideOptions): Promise<void> => {
  const items = await Promise.all([
    ...options.binaries.map((name) => findProgram(name, options, ['release', 'go'], seemsCached)),
    ...options.images.map((reference) => findImage(reference, options, seemsCached)),
  ]);
  await inBundle(items.filter(isMissing), options);
};

/** Starts to bring what is missing, from where it is to be had. Returns what ends when each file is there. */
const bringMissing = async (
  programs: readonly CachedProgram[],
  images: readonly CachedImage[],
  options: ProvideOptions,
): Promise<{
  readonly origin: Exclude<Provided['source'], 'dir'>;
  readonly coming: ReadonlyMap<string, Promise<void>>;
}> => {
  const missing = [...programs, ...images].filter(isMissing);
  if (missing.length === 0) return { origin: 'cache', coming: new Map() };
  await requireWritable(options.cache);
  if (options.source === 'bundle') return { origin: 'bundle', coming: await startBundle(missing, options) };
  const known = new Set(programs.flatMap(({ origin }) => origin ?? []));
  const chosen = await chooseSource(options, missing, known);
  const coming = await bring(chosen, programs.filter(isMissing), images.filter(isMissing), options);
  return { origin: chosen.origin, coming };
};

/** Returns the path of a file when it is there. Throws UserError where others may change it, as requireOwn does. */
const own = async (coming: Promise<void> | undefined, path: string, require: (path: string) => Promise<void>) => {
  await coming;
  await require(path);
  return path;
};

const watched = (entries: readonly (readonly [string, Promise<string>])[]): Coming => {
  for (const [, coming] of entries) coming.catch(() => undefined); // awaited by whoever needs it
  return new Map(entries);
};

/**
 * Begins to bring the programs and the archives of the images of a lab into the cache, in the order in which they are
 * named, and returns at once what becomes their paths; after a build by Go, which takes the whole machine, all are there.
 * Skips what is there and fits; verifies everything else before it gets its name. From a folder come the programs, and
 * those images of which it has an archive. Throws, or its promises do, a UserError for what a person can do something
 * about: no network, wrong checksum, full disk, no toolchain, a file that others than root may change.
 */
export const provide = async (options: ProvideOptions): Promise<Provided> => {
  const { source, report, cache } = options;
  const folder = source === 'dir' ? await (await import('./dir.ts')).fromFolder(options) : undefined;
  const origins = source === 'release' || source === 'go' ? ([source] as const) : (['release', 'go'] as const);
  const [programs, images] = await Promise.all([
    Promise.all((folder ? [] : options.binaries).map((name) => findProgram(name, options, origins))),
    Promise.all(
      options.images.filter((reference) => !folder?.images.has(reference)).map((one) => findImage(one, options)),
    ),
  ]);
  for (const { kind, name, origin } of [...programs, ...images]) if (origin) report({ kind, name, state: 'cached' });

  const { origin, coming } = await bringMissing(programs, images, options);
  const fromCache = ({ name, path }: CacheItem) =>
    [name, own(coming.get(name), path, (file) => requireOwnCache(file, cache))] as const;
  const given = (files: ReadonlyMap<string, string> | undefined) =>
    [...(files ?? [])].map(([name, path]) => [name, own(undefined, path, requireOwnOrAsked)] as const);
  return {
    source: source === 'dir' ? 'dir' : origin,
    binaries: watched([...given(folder?.binaries), ...programs.map(fromCache)]),
    images: watched([...given(folder?.images), ...images.map(fromCache)]),
  };
};

/** Waits for all files and returns their paths. Throws the first failure. */
export const arrival = async (coming: Coming): Promise<Map<string, string>> => {
  const entries = [...coming].map(async ([name, path]) => [name, await path] as const);
  return new Map(await Promise.all(entries));
};
