import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream, type Stats } from 'node:fs';
import { access, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ForeignLink, inFolderOf } from './anchor.ts';

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
 * Reads a file. Never waits for a writer. Throws an error that says what is there instead of a regular file of at most
 * `mostBytes`, 64 MB by default: a folder, a FIFO, more than that. Files of /proc say that they have no bytes, so it
 * reads to the end.
 */
export const readBytes = async (path: string, mostBytes = largeFile): Promise<Buffer> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new Error(`${path} is ${kindOf(stat)}, not a file`);
    if (stat.size > mostBytes) throw new Error(`${path} has more than ${mostBytes >> 20} MB`);
    const parts: Buffer[] = [];
    let length = 0;
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(1 << 16));
      if (bytesRead === 0) return Buffer.concat(parts);
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

/** Reads a file as text, as readBytes does. */
export const readText = async (path: string, mostBytes = largeFile): Promise<string> =>
  (await readBytes(path, mostBytes)).toString('utf8');

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

/**
 * Returns the first of these files that is newer than a moment, in milliseconds; systemd's clock has whole seconds. A
 * folder is as old as its creation, because its modification time changes with each file in it; a file system that does
 * not record the creation never makes it newer.
 */
export const newerFile = async (files: readonly string[], moment: number): Promise<string | undefined> => {
  const stats = await Promise.all(files.map((file) => statIfThere(file)));
  const times = stats.map((found) => (found?.isDirectory() ? found.birthtimeMs : found?.mtimeMs) ?? 0);
  return files.find((_, index) => (times[index] ?? 0) > moment + 999);
};

/** Returns this path, or the first of it with -2, -3 and so on at which nothing is. */
export const freeName = async (path: string): Promise<string> => {
  for (let count = 1; ; count += 1) {
    const name = count === 1 ? path : `${path}-${count}`;
    if (!(await statIfThere(name))) return name;
  }
};

/**
 * Returns a temporary path beside `path`: the pid tells later runs whether its process has ended, and nobody can guess
 * the rest.
 */
const temporaryOf = (path: string): string => `${path}.hardway-${process.pid}-${randomBytes(6).toString('hex')}`;

/** Removes the files named `prefix` and the pid of a process that has ended: it was killed before it could. */
export const removeAbandoned = async (prefix: string): Promise<void> => {
  const start = basename(prefix);
  const names = await readdir(dirname(prefix)).catch(() => []);
  for (const name of names.filter((one) => one.startsWith(start))) {
    const [, pid] = /^(\d+)(?:-[0-9a-f]+)?$/.exec(name.slice(start.length)) ?? [];
    if (pid && !(await statIfThere(`/proc/${pid}`))) await rm(`${dirname(prefix)}/${name}`, { force: true });
  }
};

/** Removes the temporary files of killed processes for `path`; none where its folder is gone or led elsewhere. */
export const removeTemporaries = async (path: string): Promise<void> => {
  await inFolderOf(path, (place) => removeAbandoned(`${place}.hardway-`)).catch((error: unknown) => {
    if (!isMissing(error) && !(error instanceof ForeignLink)) throw error;
  });
};

/**
 * Makes a file or link at a temporary path beside `path` and renames it to `path`, so that nobody sees half of it.
 * Follows no link that others can have made, as inFolderOf.
 */
export const swapIn = (path: string, make: (temporary: string) => Promise<void>): Promise<void> =>
  inFolderOf(path, async (place) => {
    await removeAbandoned(`${place}.hardway-`);
    await makeThenRename(temporaryOf(place), place, make);
  });

/** Makes a folder with exactly this mode and, if given, owner, as swapIn; leaves one that is there as it is. */
export const makeFolder = (path: string, access: Access & { readonly mode: number }): Promise<void> =>
  inFolderOf(path, async (place) => {
    await mkdir(place, { mode: access.mode });
    await setAccess(place, access);
  });

/** Owner of a file or folder. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Mode and owner of a file or folder; what is absent stays as it is. */
export interface Access {
  readonly mode?: number | undefined;
  readonly owner?: Owner | undefined;
}

/** Sets the mode and the owner of a file or folder, which may not be a link. */
export const setAccess = (path: string, { mode, owner }: Access): Promise<void> =>
  inFolderOf(path, async (place) => {
    // Waits for no writer, should it be a FIFO meanwhile.
    const file = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      if (owner) await file.chown(owner.uid, owner.gid);
      if (mode !== undefined) await file.chmod(mode); // after the owner: chown removes the setuid bit
    } finally {
      await file.close();
    }
  });

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
  readonly owner?: Owner;
  /**
   * Path of the temporary file, which nothing may have; by default beside it, with this process's pid in its name. In a
   * folder that several machines write to, one machine would take another's for that of a process that has ended.
   */
  readonly temporary?: string;
}

/** Makes a file that is not there, with its content on the disk when it returns; nothing stays where that fails. */
const createFile = async (
  path: string,
  content: string | Buffer,
  { mode, owner }: Omit<WriteOptions, 'temporary'>,
): Promise<void> => {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  try {
    await file.writeFile(content);
    await file.chmod(mode); // the umask may have removed bits
    if (owner) await file.chown(owner.uid, owner.gid);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
};

/**
 * Writes a whole file or nothing, even if the power is cut right after. It writes a temporary file beside it and syncs
 * that to the disk before the rename; without the sync a new file may be empty after a power cut.
 */
export const writeAtomically = async (
  path: string,
  content: string | Buffer,
  { mode, owner, temporary }: WriteOptions,
): Promise<void> => {
  const make = (place: string): Promise<void> => createFile(place, content, { mode, ...(owner && { owner }) });
  await (temporary === undefined ? swapIn(path, make) : makeThenRename(temporary, path, make));
};

/**
 * Writes a file where nothing is yet, as inFolderOf finds the place; not even through a link. Throws an error with the
 * code EEXIST where something is, and ForeignLink.
 */
export const writeNew = (path: string, content: Buffer, access: Omit<WriteOptions, 'temporary'>): Promise<void> =>
  inFolderOf(path, (place) => createFile(place, content, access));

/** Throws an error unless a file or folder of ours belongs to its owner, by default whoever runs this, and has this mode. */
export const requireAccess = async (
  path: string,
  mode: number,
  owner: { readonly name: string; readonly uid: number | undefined } = { name: 'root', uid: process.getuid?.() },
): Promise<void> => {
  const stat = await lstat(path);
  const found = (stat.mode & 0o7777).toString(8).padStart(4, '0');
  if (stat.uid !== owner.uid) throw new Error(`${path} belongs to uid ${stat.uid}, not to ${owner.name}`);
  if ((stat.mode & 0o777) !== mode) throw new Error(`${path} has the mode ${found}, not 0${mode.toString(8)}`);
};
