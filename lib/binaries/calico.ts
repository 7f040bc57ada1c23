import { mkdir, readFile, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../engine/errors.ts';
import type { Source } from '../engine/step.ts';
import { sha256 } from '../host/files.ts';
import { archivePath, binaryPath, cached, recipeOf } from './cache.ts';
import type { Report } from './progress.ts';
import { type Arch, productOf, versions } from './versions.ts';

interface Where {
  readonly cache: string;
  readonly arch: Arch;
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const manifestPath = (cache: string): string => join(cache, 'manifests', `calico-${versions().calico.version}.yaml`);

/** Image reference to the path of its archive, for those of Calico's images that the cache has. */
export const calicoArchives = async ({ cache, arch }: Where): Promise<ReadonlyMap<string, string>> => {
  const all = versions().calico.images.map((reference) => [reference, archivePath(cache, arch, reference)] as const);
  const there = await Promise.all(all.map(([, path]) => isThere(path)));
  return new Map(all.filter((_, index) => there[index]));
};

/** Whether Calico can be had without any network: its manifest and all of its images are in the cache. */
export const calicoIsCached = async (where: Where): Promise<boolean> => {
  const [manifest, archives] = await Promise.all([isThere(manifestPath(where.cache)), calicoArchives(where)]);
  return manifest && archives.size === versions().calico.images.length;
};

/**
 * Whether Calico's images can be expected to come: from the cache, or because this source reaches registries. Under
 * `auto` a cache that Go filled says that no release site was reached.
 */
export const calicoIsWithinReach = async ({
  source,
  ...where
}: Where & { readonly source: Source }): Promise<boolean> => {
  if (await calicoIsCached(where)) return true;
  if (source !== 'auto') return source === 'release';
  if (await isCachedFromGo(where)) return false;
  const { answers } = await import('./download.ts');
  return answers(versions().calico.manifest, undefined);
};

/** Whether what is in the cache was built here: the first program of the lab tells. */
const isCachedFromGo = async ({ cache, arch }: Where): Promise<boolean> => {
  const { name, product } = productOf('etcd');
  const path = binaryPath(cache, arch, name, product.version, 'etcd');
  return (await cached(path, [['go', recipeOf('go', product)]])) === 'go';
};

/**
 * The text of Calico's manifest, pinned by its checksum: from the cache, from the folder of source `dir`, else from its
 * release. Throws a UserError when it is not the pinned one or cannot be had.
 */
export const calicoManifest = async (
  cache: string,
  source: { readonly kind: Source; readonly from?: string },
  options: { readonly report: Report; readonly signal?: AbortSignal },
): Promise<string> => {
  const { manifest: url, sha256: expected, version } = versions().calico;
  const given =
    source.kind === 'dir' && source.from ? join(source.from, `calico-${version}.yaml`) : manifestPath(cache);
  if (!(await isThere(given))) {
    if (source.kind === 'dir')
      throw new UserError(`${given} is not there`, `put Calico's manifest there, or use --cni bridge`);
    const { fetchVerified } = await import('./download.ts');
    await mkdir(dirname(given), { recursive: true });
    await fetchVerified(`calico-${version}.yaml`, url, expected, `${given}.part`, options);
    await rename(`${given}.part`, given);
  }
  const text = await readFile(given, 'utf8');
  const found = sha256(text);
  if (found === expected) return text;
  throw new UserError(
    `${given} is not Calico ${version}: its SHA-256 is ${found}, not ${expected}`,
    source.kind === 'dir' ? `put the file of ${url} there` : `rm ${given}, then hardway up fetches it again`,
  );
};
