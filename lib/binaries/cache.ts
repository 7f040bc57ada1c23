import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Arch, Image, Product } from './versions.ts';

/** Where something in the cache came from; `hand` is an image archive that a person put there. */
export type Origin = 'release' | 'go' | 'hand';

/** What is written beside a cached file (`FILE.json`) when it was put there after verification. */
export interface CacheRecord {
  readonly origin: Origin;
  /** What the file was made from; another recipe makes the file stale. */
  readonly recipe: string;
  readonly sha256: string;
  readonly size: number;
  readonly mtimeMs: number;
}

export const binaryPath = (cache: string, arch: Arch, product: string, version: string, name: string): string =>
  join(cache, 'bin', arch, `${product}-${version}`, name);

/** `registry.k8s.io/pause:3.10.2` is kept as `registry.k8s.io_pause_3.10.2.tar`. */
export const archiveName = (reference: string): string => `${reference.replaceAll(/[/:@]/g, '_')}.tar`;

export const archivePath = (cache: string, arch: Arch, reference: string): string =>
  join(cache, 'images', arch, archiveName(reference));

/** A fingerprint of everything in versions.yaml that decides what a file holds. A published image is what its name says. */
export const recipeOf = (origin: 'release' | 'go', product: Product, image?: Image): string => {
  const { files, ...build } = product;
  const published = image ? { reference: image.reference } : { version: product.version, files };
  const made = origin === 'release' ? published : { ...build, image };
  return createHash('sha256').update(JSON.stringify(made)).digest('hex').slice(0, 16);
};

/** The sha256 of a file, in hex. */
export const sha256Of = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
};

const recordPath = (path: string): string => `${path}.json`;

const readRecord = async (path: string): Promise<CacheRecord | undefined> => {
  try {
    return JSON.parse(await readFile(recordPath(path), 'utf8'));
  } catch {
    return undefined;
  }
};

/** A copy on another disk, such as that of a VM, may have lost the fraction of the second. */
const isTime = (found: number, recorded: number): boolean =>
  found === recorded || found === Math.floor(recorded / 1000) * 1000;

const writeRecord = async (path: string, record: CacheRecord): Promise<void> => {
  const temporary = `${recordPath(path)}.${randomUUID().slice(0, 8)}`;
  await writeFile(temporary, `${JSON.stringify(record)}\n`);
  await rename(temporary, recordPath(path));
};

/**
 * The origin of a cached file that is there and right, else undefined. Size and time of change decide; only where they
 * differ from the record is the whole file read. A file that is not what was put there is removed, so that it is made anew.
 */
export const cached = async (
  path: string,
  wanted: readonly (readonly [Origin, string])[],
): Promise<Origin | undefined> => {
  const [record, found] = await Promise.all([readRecord(path), stat(path).catch(() => undefined)]);
  if (!found || !record) return undefined;
  if (!wanted.some(([origin, recipe]) => origin === record.origin && recipe === record.recipe)) return undefined;
  if (found.size === record.size && isTime(found.mtimeMs, record.mtimeMs)) return record.origin;
  if (found.size === record.size && (await sha256Of(path)) === record.sha256) {
    // Copied, or touched: right all the same. A cache that may not be written is only slower.
    await writeRecord(path, { ...record, mtimeMs: found.mtimeMs }).catch(() => undefined);
    return record.origin;
  }
  await Promise.all([rm(path, { force: true }), rm(recordPath(path), { force: true })]);
  return undefined;
};

/** `hand` for an archive that is there and that we did not put there, else undefined. */
export const isManualArchive = async (path: string): Promise<Origin | undefined> => {
  const [record, found] = await Promise.all([readRecord(path), stat(path).catch(() => undefined)]);
  return found && !record ? 'hand' : undefined;
};

const hour = 3_600_000;

/** A name beside `path` that no other run uses, in this VM or another; what a killed run left there an hour ago is removed. */
export const temporaryFor = async (path: string): Promise<string> => {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(path)}.part-`)) continue;
    const left = join(folder, name);
    const since = await stat(left).catch(() => undefined);
    if (since && Date.now() - since.mtimeMs > hour) await rm(left, { recursive: true, force: true });
  }
  return `${path}.part-${randomUUID().slice(0, 8)}`;
};

/** Puts a verified file into the cache under its name, whole or not at all, and records what it is. */
export const store = async (
  temporary: string,
  path: string,
  made: { readonly origin: Origin; readonly recipe: string; readonly mode: number },
): Promise<void> => {
  await chmod(temporary, made.mode);
  const sha256 = await sha256Of(temporary);
  await rename(temporary, path);
  const { size, mtimeMs } = await stat(path);
  await writeRecord(path, { origin: made.origin, recipe: made.recipe, sha256, size, mtimeMs });
};
