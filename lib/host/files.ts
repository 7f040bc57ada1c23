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

/** A process that is killed in the middle of a write leaves its temporary file; removes those of `path` whose process is gone. */
export const removeTemporaries = async (path: string): Promise<void> => {
  const start = `${basename(path)}.hardway-`;
  const names = await readdir(dirname(path)).catch(() => []);
  for (const name of names.filter((one) => one.startsWith(start))) {
    const pid = name.slice(start.length);
    if (/^\d+$/.test(pid) && !(await statIfThere(`/proc/${pid}`)))
      await rm(`${dirname(path)}/${name}`, { force: true });
  }
};

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
