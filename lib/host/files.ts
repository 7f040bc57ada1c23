import { createHash } from 'node:crypto';
import { lstat, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

export const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

/** The text of a file, or undefined where there is none. */
export const readIfThere = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

/** lstat, or undefined where nothing is at that path. */
export const statIfThere = async (path: string) => {
  try {
    return await lstat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

/** Where this process prepares what is to be at `path`. */
export const temporaryOf = (path: string): string => `${path}.hardway-${process.pid}`;

/** Removes the files that are named `prefix` and the pid of a process that is gone: it was killed before it could. */
export const removeAbandoned = async (prefix: string): Promise<void> => {
  const start = basename(prefix);
  const names = await readdir(dirname(prefix)).catch(() => []);
  for (const name of names.filter((one) => one.startsWith(start))) {
    const pid = name.slice(start.length);
    if (/^\d+$/.test(pid) && !(await statIfThere(`/proc/${pid}`))) await rm(`${prefix}${pid}`, { force: true });
  }
};

/** Removes what killed processes had prepared for `path`. */
export const removeTemporaries = (path: string): Promise<void> => removeAbandoned(`${path}.hardway-`);

/**
 * Writes a whole file or none of it, also when the power is cut right after: a temporary file beside it, on the disk
 * before the rename. Without that, a file that is seconds old may come back empty.
 */
export const writeAtomically = async (
  path: string,
  content: string | Buffer,
  { mode, owner }: { mode: number; owner?: { uid: number; gid: number } },
): Promise<void> => {
  const temporary = temporaryOf(path);
  await removeTemporaries(path);
  try {
    const file = await open(temporary, 'w', mode);
    try {
      await file.writeFile(content);
      await file.chmod(mode); // the umask may have taken bits away
      if (owner) await file.chown(owner.uid, owner.gid);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
};
