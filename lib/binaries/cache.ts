import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { chmod, mkdir, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isDiskFull, isOfFile, sentenceOf, UserError } from '../engine/errors.ts';
import type { Arch } from '../engine/lab.ts';
import { formatBytes } from '../engine/text.ts';
import { readText, sha256, sha256OfFile, statIfThere, writeAtomically } from '../host/files.ts';
import { fields, number, text } from '../host/shape.ts';
import { type Image, imageDigests, type Product, versions } from './versions.ts';

/** Origin of a file in the cache; `hand` is an image archive that a person put there. */
export type Origin = 'release' | 'go' | 'hand';

/** The record beside a cached file (`FILE.json`), written after the file was verified. */
export interface CacheRecord {
  readonly origin: Origin;
  /** Fingerprint of what the file was made from; a file with another recipe is stale. */
  readonly recipe: string;
  readonly sha256: string;
  readonly size: number;
  readonly mtimeMs: number;
}

export const binaryPath = (cache: string, arch: Arch, product: string, version: string, name: string): string =>
  join(cache, 'bin', arch, `${product}-${version}`, name);

/**
 * Returns the file name of an image archive: `registry.k8s.io/pause:3.10.2` becomes `registry.k8s.io_pause_3.10.2.tar`.
 */
export const archiveName = (reference: string): string => `${reference.replaceAll(/[/:@]/g, '_')}.tar`;

export const archivePath = (cache: string, arch: Arch, reference: string): string =>
  join(cache, 'images', arch, archiveName(reference));

const fingerprint = (what: unknown): string => sha256(JSON.stringify(what)).slice(0, 16);

/** Returns a fingerprint of what decides the content of a published image: its reference, and its digest where it has one. */
export const publishedImage = (reference: string): string =>
  fingerprint({ reference, digest: imageDigests()[reference] });

/** Returns a fingerprint of everything in versions.yaml that decides the content of a file. */
export const recipeOf = (origin: 'release' | 'go', product: Product, image?: Image): string => {
  if (image && origin === 'release') return publishedImage(image.reference);
  const { files, ...build } = product;
  const published = { version: product.version, files };
  const made = origin === 'release' ? published : { ...build, image };
  return fingerprint(made);
};

const recordPath = (path: string): string => `${path}.json`;

const recordShape = fields({ origin: text, recipe: text, sha256: text, size: number, mtimeMs: number });

/** Reads the record of a cached file; undefined where there is none that can be read. */
export const readRecord = async (path: string): Promise<CacheRecord | undefined> => {
  try {
    const record: unknown = JSON.parse(await readText(recordPath(path)));
    return recordShape(record, 'it') === undefined ? (record as CacheRecord) : undefined;
  } catch {
    return undefined;
  }
};

/**
 * Compares two times of change, in milliseconds. A copy on another disk, such as a VM's, may have lost the fraction of
 * the second.
 */
const isTime = (found: number, recorded: number): boolean =>
  found === recorded || found === Math.floor(recorded / 1000) * 1000;

const writeRecord = async (path: string, record: CacheRecord): Promise<void> => {
  const place = recordPath(path);
  const temporary = await temporaryFor(place);
  await writeAtomically(place, `${JSON.stringify(record)}\n`, { mode: 0o644, temporary });
};

/** Tells whether a file has the size and the content of its record; reads it only where its time differs. */
const isAsRecorded = async (path: string, { size, mtimeMs }: Stats, record: CacheRecord): Promise<boolean> =>
  size === record.size && (isTime(mtimeMs, record.mtimeMs) || (await sha256OfFile(path)) === record.sha256);

/**
 * Tells whether somebody wrote into a cached file since it was verified. A program of a lab may be the same file under
 * another name, and cp(1) writes into the file that is there.
 */
export const isOverwritten = async (path: string): Promise<boolean> => {
  const [record, found] = await Promise.all([readRecord(path), stat(path)]);
  return record !== undefined && !(await isAsRecorded(path, found, record));
};

/** A recipe that a cached file may have, by the origin of such a file. */
type Wanted = readonly (readonly [Origin, string])[];

/** Returns what there is of a file that exists, and its record, where that fits one of the recipes. */
const recorded = async (path: string, wanted: Wanted) => {
  const [record, found] = await Promise.all([readRecord(path), stat(path).catch(() => undefined)]);
  if (!found || !record) return undefined;
  const fits = wanted.some(([origin, recipe]) => origin === record.origin && recipe === record.recipe);
  return fits ? { record, found } : undefined;
};

/** Looks for a file in the cache. Returns its origin; undefined where it is missing or stale. */
export type LookForCached = (path: string, wanted: Wanted) => Promise<Origin | undefined>;

/**
 * Returns the origin of a cached file that exists and fits one of the `wanted` recipes, else undefined. Compares size
 * and time of change; reads the whole file only where the time differs from the record. Removes a file with another
 * content, so that it is made anew.
 */
export const cached: LookForCached = async (path, wanted) => {
  const there = await recorded(path, wanted);
  if (!there) return undefined;
  const { record, found } = there;
  if (found.size === record.size && isTime(found.mtimeMs, record.mtimeMs)) return record.origin;
  if (await isAsRecorded(path, found, record)) {
    // The file was copied or touched, and its content is right. Where the cache is read-only the next look-up reads it
    // again.
    await writeRecord(path, { ...record, mtimeMs: found.mtimeMs }).catch(() => undefined);
    return record.origin;
  }
  await Promise.all([rm(path, { force: true }), rm(recordPath(path), { force: true })]);
  return undefined;
};

/** Looks as `cached` does, by the record and the size alone: reads no file whole, and changes nothing. */
export const seemsCached: LookForCached = async (path, wanted) => {
  const there = await recorded(path, wanted);
  return there && there.found.size === there.record.size ? there.record.origin : undefined;
};

/** Returns `hand` for an archive without a record, which a person has put there; else undefined. */
export const isManualArchive = async (path: string): Promise<Origin | undefined> => {
  const [record, found] = await Promise.all([readRecord(path), stat(path).catch(() => undefined)]);
  return found && !record ? 'hand' : undefined;
};

/** Makes a folder and those above it that are missing. Node's own way takes a read-only disk for a missing folder. */
const makeFolders = async (folder: string): Promise<void> => {
  if (await statIfThere(folder)) return;
  await makeFolders(dirname(folder));
  await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error; // another run has made it
  });
};

const hour = 3_600_000;

/**
 * Returns a name beside `path` that no other run uses, in this VM or another. Removes what a killed run left there more
 * than an hour ago.
 */
export const temporaryFor = async (path: string): Promise<string> => {
  const folder = dirname(path);
  await makeFolders(folder);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(path)}.part-`)) continue;
    const left = join(folder, name);
    const since = await stat(left).catch(() => undefined);
    if (since && Date.now() - since.mtimeMs > hour) await rm(left, { recursive: true, force: true });
  }
  return `${path}.part-${randomUUID().slice(0, 8)}`;
};

/**
 * Moves a verified file to its name in the cache in one step, and writes its record. `sha256` is that of the file, where
 * it is known already.
 */
export const store = async (
  temporary: string,
  path: string,
  made: { readonly origin: Origin; readonly recipe: string; readonly mode: number; readonly sha256?: string },
): Promise<void> => {
  await chmod(temporary, made.mode);
  const checksum = made.sha256 ?? (await sha256OfFile(temporary));
  await rename(temporary, path);
  const { size, mtimeMs } = await stat(path);
  await writeRecord(path, { origin: made.origin, recipe: made.recipe, sha256: checksum, size, mtimeMs });
};

const otherCache = 'name another folder: HARDWAY_CACHE=/other/folder, and run the same command again';

/**
 * Runs `work`, which writes `path`. Throws a UserError that names the file or folder which the kernel refused, or the
 * disk when it is full; other errors pass.
 */
export const onDisk = async <T>(doing: string, path: string, work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (thrown) {
    if (!isDiskFull(thrown)) {
      if (!isOfFile(thrown)) throw thrown;
      throw new UserError(`${sentenceOf(thrown)} (while ${doing})`, `mend that, or ${otherCache}`);
    }
    const folder = dirname(path);
    const free = await statfs(folder).then(
      ({ bavail, bsize }) => formatBytes(bavail * bsize),
      () => 'nothing',
    );
    throw new UserError(
      `no space left on the disk of ${folder} while ${doing} (${free} free, hardway wants 5 GB)`,
      `make room there, or ${otherCache}`,
    );
  }
};

/** Throws UserError, as onDisk does, where nothing can be written to the cache: before anything is fetched or built. */
export const requireWritable = (cache: string): Promise<void> => {
  const path = join(cache, 'probe');
  return onDisk('something was to be put there', path, async () => {
    const temporary = await temporaryFor(path);
    try {
      await writeFile(temporary, Buffer.alloc(2 ** 20, 1));
    } catch (error) {
      throw Object.assign(error as NodeJS.ErrnoException, { path: cache }); // it is not the file that matters
    } finally {
      await rm(temporary, { force: true });
    }
  });
};

/** Returns what to do about an image that cannot be had, for the end of an error's message. */
export const imageRemedy = (
  reference: string,
  { cache, arch }: { readonly cache: string; readonly arch: Arch },
): string =>
  [
    versions().calico.images.includes(reference)
      ? 'hardway up --cni bridge needs none of the images of Calico (hardway reset first, where a lab has begun with it)'
      : 'hardway up --source go builds it where a Go toolchain is',
    'or name a mirror: --registry-mirror URL',
    `or put its archive where it is looked for: ${archivePath(cache, arch, reference)}`,
  ].join('; ');
