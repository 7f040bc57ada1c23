import { createHash } from 'node:crypto';
import { lstat, open, readFile, rename, rm } from 'node:fs/promises';

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

/**
 * Writes a whole file or none of it: a temporary file beside it, then a rename.
 * With `durable` it also survives a power cut right after (fsync of the file and of its folder).
 */
export const writeAtomically = async (
  path: string,
  content: string | Buffer,
  { mode, owner, durable = false }: { mode: number; owner?: { uid: number; gid: number }; durable?: boolean },
): Promise<void> => {
  const temporary = `${path}.hardway-${process.pid}`;
  try {
    const file = await open(temporary, 'w', mode);
    try {
      await file.writeFile(content);
      await file.chmod(mode); // the umask may have taken bits away
      if (owner) await file.chown(owner.uid, owner.gid);
      if (durable) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (!durable) return;
  const folder = await open(path.slice(0, path.lastIndexOf('/')) || '/', 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};
