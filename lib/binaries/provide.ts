import { rm } from 'node:fs/promises';
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
  type Origin,
  recipeOf,
  store,
  temporaryFor,
  withDiskSpace,
} from './cache.ts';
import type { Progress } from './progress.ts';
import { type Image, type Product, productOf, versions } from './versions.ts';

export type { Progress };

export interface Provided {
  /** Origin of what was missing; `cache` when nothing was. */
  readonly source: 'cache' | 'release' | 'go' | 'dir';
  /** Name to absolute path. */
  readonly binaries: ReadonlyMap<string, string>;
  /** Image reference to the path of its archive; an image that is absent has to be pulled. */
  readonly images: ReadonlyMap<string, string>;
}

export interface ProvideOptions {
  readonly source: Source;
  /** The folder of source `dir`. */
  readonly from?: string;
  readonly binaries: readonly string[];
  /** References of images. */
  readonly images: readonly string[];
  /** Whether images that only a registry has are downloaded as archives too, for a machine without a network. */
  readonly archives?: boolean;
  /** Mirror that is asked before the registry of an image. */
  readonly registryMirror?: string | undefined;
  /** Version of Kubernetes that the files belong to; absent for the usual one. */
  readonly kubernetes?: string | undefined;
  readonly arch: Arch;
  readonly cache: string;
  readonly report: (progress: Progress) => void;
  readonly signal?: AbortSignal;
  /** Installs the packages that a build needs. */
  readonly perform?: Perform;
}

/** One requested file and its place in the cache. */
interface CacheItem {
  readonly name: string;
  readonly productName: string;
  readonly product: Product;
  readonly image: Image | undefined;
  readonly path: string;
  /** Origin of the file in the cache; undefined when it is missing or stale. */
  readonly origin: Origin | undefined;
}

const recipe = (wanted: CacheItem, origin: 'release' | 'go'): string => recipeOf(origin, wanted.product, wanted.image);

/**
 * Looks for each file in the cache. `origins` are those accepted for a binary; for an image every origin is accepted.
 */
const lookUp = async (
  { binaries, images, kubernetes, arch, cache }: ProvideOptions,
  origins: readonly ('release' | 'go')[],
): Promise<{ binaries: CacheItem[]; images: CacheItem[] }> => {
  const find = async (name: string, productName: string, product: Product, image: Image | undefined, path: string) => {
    const will = image ? (['go', 'release'] as const) : origins;
    const recipes = will.map((origin) => [origin, recipeOf(origin, product, image)] as const);
    const origin = (await cached(path, recipes)) ?? (image && (await isManualArchive(path)));
    return { name, productName, product, image, path, origin };
  };
  const ours = Object.values(versions(kubernetes).images).filter(({ reference }) => images.includes(reference));
  return {
    binaries: await Promise.all(
      binaries.map((binary) => {
        const { name, product } = productOf(binary, kubernetes);
        return find(binary, name, product, undefined, binaryPath(cache, arch, name, product.version, binary));
      }),
    ),
    images: await Promise.all(
      ours.map((image) => {
        const { name, product } = productOf(image.binary, kubernetes);
        return find(image.reference, name, product, image, archivePath(cache, arch, image.reference));
      }),
    ),
  };
};

const build = async (wanted: readonly CacheItem[], options: ProvideOptions, go: string): Promise<void> => {
  const { goBuild } = await import('./go.ts');
  const { arch, cache, report, signal, perform } = options;
  // Builds run one after the other: Go itself uses every core, and linking Kubernetes takes 2 GB.
  for (const one of wanted) {
    const { productName, product, image, path } = one;
    const temporary = await temporaryFor(path);
    report({ name: one.name, state: 'building' });
    const compile = (binary: string, output: string) =>
      goBuild(productName, product, binary, output, { go, arch, cache, report, signal, perform });
    try {
      if (image) {
        const binary = `${temporary}.${image.binary}`;
        try {
          await compile(image.binary, binary);
          const { packImage } = await import('./image.ts');
          await withDiskSpace(`packing ${image.reference}`, path, () => packImage(image, arch, binary, temporary));
        } finally {
          await rm(binary, { force: true });
        }
      } else await compile(one.name, temporary);
      await store(temporary, path, { origin: 'go', recipe: recipe(one, 'go'), mode: image ? 0o644 : 0o755 });
    } finally {
      await rm(temporary, { force: true });
    }
    report({ name: one.name, state: 'done' });
  }
};

/** Downloads images as archives, one after the other; the layers of one come at the same time. */
const fetchImages = async (wanted: readonly CacheItem[], options: ProvideOptions): Promise<void> => {
  const { fetchImage } = await import('./registry.ts');
  for (const one of wanted) {
    const temporary = await temporaryFor(one.path);
    try {
      await fetchImage(one.name, temporary, { ...options, mirror: options.registryMirror });
      await store(temporary, one.path, { origin: 'release', recipe: recipe(one, 'release'), mode: 0o644 });
    } finally {
      await rm(temporary, { force: true });
    }
  }
};

type Chosen = { readonly origin: 'release' } | { readonly origin: 'go'; readonly go: string };

/**
 * Chooses the source of what is missing, and the `go` to use. `origins` are those of the programs in the cache: one
 * that Go has begun to fill is completed by Go, so that the network is not asked, and where all programs came from a
 * release the images come from registries. Throws a UserError when neither source can provide it.
 */
const chooseSource = async (
  source: Exclude<Source, 'dir'>,
  missing: readonly CacheItem[],
  origins: ReadonlySet<Origin>,
  { kubernetes, arch, signal }: ProvideOptions,
): Promise<Chosen> => {
  const begunByGo = origins.has('go');
  const released = source === 'auto' && !begunByGo && origins.size > 0 && missing.every(({ image }) => image);
  if (source === 'release' || released) return { origin: 'release' };
  const { findGo } = await import('./toolchain.ts');
  const go = source === 'go' || begunByGo ? await findGo() : undefined;
  if (go) return { origin: 'go', go };
  const names = missing.map(({ name }) => name);
  let lacks = `there is no Go toolchain to build ${names.join(', ')} with: none on PATH, in /usr/local/go, ~/go or ~/sdk`;
  if (source === 'auto') {
    const { plan } = await import('./release.ts');
    const { answers } = await import('./download.ts');
    const published = missing.filter(({ image }) => !image).map(({ name }) => name);
    const site = plan(published, arch, kubernetes)[0]?.url;
    if (site && (await answers(site, signal))) return { origin: 'release' };
    const fallback = await findGo();
    if (fallback) return { origin: 'go', go: fallback };
    if (site) lacks = `${new URL(site).host} did not answer within 3 s, and ${lacks}`;
  }
  throw new UserError(
    lacks,
    'install Go from https://go.dev/dl; or set HTTPS_PROXY or HARDWAY_MIRROR; or copy the files here and use --source dir --from FOLDER',
  );
};

/** Downloads or builds what is missing. */
const bring = async (
  chosen: Chosen,
  programs: readonly CacheItem[],
  images: readonly CacheItem[],
  options: ProvideOptions,
): Promise<void> => {
  if (chosen.origin === 'go') return build([...programs, ...images], options, chosen.go);
  const { fetchRelease } = await import('./release.ts');
  const names = programs.map(({ name }) => name);
  await fetchRelease(names, options);
  if (options.archives) await fetchImages(images, options);
};

const isMissing = ({ origin }: CacheItem): boolean => origin === undefined;

const asMap = (wanted: readonly CacheItem[]): Map<string, string> =>
  new Map(wanted.map(({ name, path }) => [name, path]));

/** Returns what was found or brought; throws UserError where others may change a file of it, as requireOwn does. */
const own = async (provided: Provided, cache: string): Promise<Provided> => {
  for (const path of [...provided.binaries.values(), ...provided.images.values()])
    await (provided.source === 'dir' ? requireOwnOrAsked(path) : requireOwnCache(path, cache));
  return provided;
};

/**
 * Brings the binaries and image archives of a lab into the cache and returns their paths. Skips what is there and fits;
 * verifies everything else before it gets its name. With `release`, images are left to containerd, except those that
 * have an archive in the cache, unless `archives` asks for all. Throws a UserError for what a person can do something
 * about: no network, wrong checksum, full disk, no toolchain, a file that others than root may change.
 */
export const provide = async (options: ProvideOptions): Promise<Provided> => own(await find(options), options.cache);

const find = async (options: ProvideOptions): Promise<Provided> => {
  const { source, report } = options;
  if (source === 'dir') {
    const { fromFolder } = await import('./dir.ts');
    return { source, ...(await fromFolder(options)) };
  }
  const { binaries, images } = await lookUp(options, source === 'auto' ? ['release', 'go'] : [source]);
  for (const { name, origin } of [...binaries, ...images]) if (origin) report({ name, state: 'cached' });

  const programs = binaries.filter(isMissing);
  const archives = images.filter(isMissing);
  const here = images.filter((one) => !isMissing(one));
  const origins = new Set(binaries.flatMap(({ origin }) => origin ?? []));
  // Images are built by Go only where the programs are; otherwise containerd pulls them.
  const archivesNeeded = options.archives || source === 'go' || (source === 'auto' && origins.has('go'));
  if (programs.length === 0 && !(archivesNeeded && archives.length > 0))
    return { source: 'cache', binaries: asMap(binaries), images: asMap(here) };

  const chosen = await chooseSource(source, [...programs, ...archives], origins, options);
  await bring(chosen, programs, archives, options);
  const whole = chosen.origin === 'go' || options.archives;
  return { source: chosen.origin, binaries: asMap(binaries), images: asMap(whole ? images : here) };
};
