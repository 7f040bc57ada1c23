import { mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../engine/errors.ts';
import type { Arch } from '../engine/lab.ts';
import { requireOwnCache, requireOwnOrAsked } from '../engine/own.ts';
import type { Source } from '../engine/step.ts';
import { exists, readText, sha256 } from '../host/files.ts';
import { archiveName, archivePath, binaryPath, cached, recipeOf, requireWritable } from './cache.ts';
import type { FileProgress } from './progress.ts';
import { versions } from './versions.ts';

/** Places where a run looks for files: its cache, and the folder of source `dir`. */
interface Where {
  readonly cache: string;
  readonly arch: Arch;
  readonly source: { readonly kind: Source; readonly from?: string };
  /** Mirror that is asked before the registry of an image. */
  readonly mirror?: string | undefined;
}

export const manifestName = (): string => `calico-${versions().calico.version}.yaml`;
const manifestPath = ({ cache, source }: Pick<Where, 'cache' | 'source'>): string =>
  source.kind === 'dir' && source.from ? join(source.from, manifestName()) : join(cache, 'manifests', manifestName());

/**
 * Finds the archives of Calico's images in the folder of the source or the cache: image reference to path. Throws
 * UserError, as requireOwn does, for one that others may change.
 */
export const calicoArchives = async ({
  cache,
  arch,
  source,
}: Omit<Where, 'source'> & Partial<Where>): Promise<ReadonlyMap<string, string>> => {
  const found = new Map<string, string>();
  for (const reference of versions().calico.images) {
    const given = source?.kind === 'dir' && source.from ? join(source.from, archiveName(reference)) : undefined;
    const kept = archivePath(cache, arch, reference);
    if (given && (await exists(given))) {
      await requireOwnOrAsked(given);
      found.set(reference, given);
    } else if (await exists(kept)) {
      await requireOwnCache(kept, cache);
      found.set(reference, kept);
    }
  }
  return found;
};

/** Lists what of Calico is missing: the path of its manifest, references of its images. */
const lacking = async (where: Where): Promise<readonly string[]> => {
  const [manifest, archives] = await Promise.all([exists(manifestPath(where)), calicoArchives(where)]);
  const images = versions().calico.images.filter((reference) => !archives.has(reference));
  return [...(manifest ? [] : [manifestPath(where)]), ...images];
};

/** Returns why a site does not answer; undefined where it does. Loads the HTTP client only when it is needed. */
const silenceOf = async (address: string): Promise<string | undefined> =>
  (await import('./download.ts')).silenceOf(address, undefined);

/**
 * Returns why Calico cannot be had; undefined where it can: everything is here, a mirror answers, or this source reaches
 * registries. With `auto`, a cache filled by Go means that no release site was reached.
 */
export const whyNoCalico = async (where: Where): Promise<string | undefined> => {
  if ((await lacking(where)).length === 0) return undefined;
  if (where.mirror && (await exists(manifestPath(where))) && !(await silenceOf(`${where.mirror}/v2/`)))
    return undefined;
  switch (where.source.kind) {
    case 'release':
      return undefined;
    case 'go':
      return 'Go cannot build Calico';
    case 'dir':
      return 'the folder has not all of Calico';
    case 'bundle': {
      const { openOwnBundle } = await import('./bundle.ts');
      const { contents } = await openOwnBundle(where.source.from ?? '');
      return contents.cni === 'calico' ? undefined : 'the bundle was made without Calico';
    }
    case 'auto':
      if (await isCachedFromGo(where)) return 'the programs here were built by Go, which cannot build Calico';
      return silenceOf(versions().calico.manifest);
  }
};

/** Throws a UserError that lists what is missing when Calico cannot be had. Called before anything is changed. */
export const requireCalico = async (where: Where): Promise<void> => {
  const why = await whyNoCalico(where);
  if (why === undefined) return;
  throw new UserError(
    `--cni calico: ${why}; and these are not here: ${(await lacking(where)).join(', ')}`,
    '--cni bridge; or --source release where its registry answers; or put image archives into ' +
      dirname(archivePath(where.cache, where.arch, '')),
  );
};

/** Tells whether Go built a program that is in the cache. */
const isCachedFromGo = async ({ cache, arch }: Pick<Where, 'cache' | 'arch'>): Promise<boolean> => {
  for (const [name, product] of Object.entries(versions().products)) {
    for (const binary of Object.keys(product.packages)) {
      const path = binaryPath(cache, arch, name, product.version, binary);
      if ((await cached(path, [['go', recipeOf('go', product)]])) === 'go') return true;
    }
  }
  return false;
};

/** Reads the manifest. Throws a UserError when its checksum is not the pinned one. */
const checkedManifest = async (given: string, source: Where['source']): Promise<string> => {
  const { manifest: url, sha256: expected, version } = versions().calico;
  const text = await readText(given);
  const found = sha256(text);
  if (found === expected) return text;
  throw new UserError(
    `${given} is not Calico ${version}: its SHA-256 is ${found}, not ${expected}`,
    source.kind === 'dir' ? `put the file of ${url} there` : `rm ${given}, then hardway up fetches it again`,
  );
};

/**
 * Returns the text of Calico's manifest: from the cache, from the folder of source `dir`, else from its release. Throws
 * a UserError when its checksum is not the pinned one or it cannot be had.
 */
export const calicoManifest = async (
  cache: string,
  source: Where['source'],
  options: { readonly report: (progress: FileProgress) => void; readonly signal?: AbortSignal },
): Promise<string> => {
  const { manifest: url, sha256: expected } = versions().calico;
  const given = manifestPath({ cache, source });
  if (!(await exists(given))) {
    if (source.kind === 'dir')
      throw new UserError(`${given} is not there`, `put Calico's manifest there, or use --cni bridge`);
    await requireWritable(cache);
    if (source.kind === 'bundle') {
      const { takeManifest } = await import('./bundle.ts');
      await takeManifest(source.from ?? '', manifestName(), given, options);
      return checkedManifest(given, source);
    }
    const { fetchVerified } = await import('./download.ts');
    await mkdir(dirname(given), { recursive: true });
    await fetchVerified(manifestName(), url, expected, `${given}.part`, options);
    await rename(`${given}.part`, given);
    options.report({ name: manifestName(), state: 'done' });
  }
  return checkedManifest(given, source);
};
