import { createHash } from 'node:crypto';
import { constants, createReadStream, type Stats } from 'node:fs';
import { access, lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** Returns the SHA-256 of a text or of bytes, in hex. */
export const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');

/** Returns the SHA-256 of a file of any size, in hex. */
export const sha256OfFile = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
};

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

/**
 * Tells whether something is at a path; follows links. Throws where that cannot be told, as in a folder that may not be
 * entered.
 */
export const exists = async (path: string): Promise<boolean> => {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
};

/** Most bytes of a file that is read as a whole: a ledger of thousands of changes, a snapshot of a large machine. */
export const largeFile = 64 << 20;

/** Most bytes of a settings or state file: one of ours has some thousands. */
const smallFile = 1 << 20;

/** Names what is at a path. */
export const kindOf = (stat: Stats): string => {
  if (stat.isFile()) return 'a file';
  if (stat.isDirectory()) return 'a folder';
  if (stat.isFIFO()) return 'a FIFO';
  if (stat.isSymbolicLink()) return 'a link';
  return 'a device or a socket';
};

/**
 * Reads a file as text. Never waits for a writer. Throws an error that says what is there instead of a regular file of
 * at most `mostBytes`, 64 MB by default: a folder, a FIFO, more than that. Files of /proc say that they have no bytes, so it reads to the
 * end.
 */
export const readText = async (path: string, mostBytes = largeFile): Promise<string> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new Error(`${path} is ${kindOf(stat)}, not a file`);
    if (stat.size > mostBytes) throw new Error(`${path} has more than ${mostBytes >> 20} MB`);
    const parts: Buffer[] = [];
    let length = 0;
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(1 << 16));
      if (bytesRead === 0) return Buffer.concat(parts).toString('utf8');
      parts.push(buffer.subarray(0, bytesRead));
      length += bytesRead;
      if (length > mostBytes) throw new Error(`${path} has more than ${mostBytes >> 20} MB`);
    }
  } catch (error) {
    // The errors of a descriptor do not name its file.
    if (error instanceof Error && 'code' in error && !('path' in error)) Object.assign(error, { path });
    throw error;
  } finally {
    await file.close();
  }
};

/** Reads a file of at most 64 MB as text, as readText does; undefined where there is none. */
export const readIfThere = async (path: string): Promise<string | undefined> => {
  try {
    return await readText(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

/**
 * Reads a file of ours, by default of at most 1 MB, as readText does; undefined where nothing is at that path. A link
 * that leads nowhere is an error: a person meant a file to be there.
 */
export const readSmallIfThere = async (path: string, mostBytes = smallFile): Promise<string | undefined> => {
  if (!(await statIfThere(path))) return undefined;
  try {
    return await readText(path, mostBytes);
  } catch (error) {
    throw isMissing(error) ? new Error(`${path} is a link that leads to nothing`) : error;
  }
};

/** Calls lstat; undefined where nothing is at that path. */
export const statIfThere = async (path: string) => {
  try {
    return await lstat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

/** Returns the temporary path at which this process prepares `path`. */
const temporaryOf = (path: string): string => `${path}.hardway-${process.pid}`;

/** Removes the files named `prefix` and the pid of a process that has ended: it was killed before it could. */
export const removeAbandoned = async (prefix: string): Promise<void> => {
  const start = basename(prefix);
  const names = await readdir(dirname(prefix)).catch(() => []);
  for (const name of names.filter((one) => one.startsWith(start))) {
    const pid = name.slice(start.length);
    if (/^\d+$/.test(pid) && !(await statIfThere(`/proc/${pid}`))) await rm(`${prefix}${pid}`, { force: true });
  }
};

/** Removes the temporary files of killed processes for `path`. */
export const removeTemporaries = (path: string): Promise<void> => removeAbandoned(`${path}.hardway-`);

/** Makes a file or link at a temporary path beside `path` and renames it to `path`, so that nobody sees half of it. */
export const swapIn = async (path: string, make: (temporary: string) => Promise<void>): Promise<void> => {
  const temporary = temporaryOf(path);
  await removeTemporaries(path);
  await rm(temporary, { force: true });
  await makeThenRename(temporary, path, make);
};

const makeThenRename = async (
  temporary: string,
  path: string,
  make: (temporary: string) => Promise<void>,
): Promise<void> => {
  try {
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
};

export interface WriteOptions {
  readonly mode: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
  /**
   * Path of the temporary file; by default beside it, with this process's pid in its name. A folder that several
   * machines write to needs a unique name: their pids may be equal, and they do not see each other's processes.
   */
  readonly temporary?: string;
}

/**
 * Writes a whole file or nothing, even if the power is cut right after. It writes a temporary file beside it and syncs
 * that to the disk before the rename; without the sync a new file may be empty after a power cut.
 */
export const writeAtomically = async (
  path: string,
  content: string | Buffer,
  { mode, owner, temporary }: WriteOptions,
): Promise<void> => {
  const make = async (place: string): Promise<void> => {
    const file = await open(place, 'w', mode);
    try {
      await file.writeFile(content);
      await file.chmod(mode); // the umask may have removed bits
      if (owner) await file.chown(owner.uid, owner.gid);
      await file.sync();
    } finally {
      await file.close();
    }
  };
  await (temporary === undefined ? swapIn(path, make) : makeThenRename(temporary, path, make));
};
