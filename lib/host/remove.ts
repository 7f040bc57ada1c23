import type { Stats } from 'node:fs';
import { lstat, readdir, realpath, rm, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { statIfThere } from './files.ts';
import { isMountPoint, mountsBelow } from './mounts.ts';
import { processesUsing } from './proc.ts';

/** Tells whether a path is a folder or below it, by its name. */
export const isBelow = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** Returns the path that a path really has; the path itself where nothing is there. */
export const realPath = (path: string): Promise<string> => realpath(path).catch(() => path);

/** Tells whether a path is the folder that the kernel needs at the top of a file system to repair it (e2fsck(8)). */
const isLostAndFound = (path: string): boolean => basename(path) === 'lost+found' && isMountPoint(dirname(path));

/**
 * Lists what goes when a path is emptied: the path itself if `stays` does not hold it back, else the topmost things in
 * it that are not held back. Follows a link only at `path` itself, and enters no file system that is mounted below it.
 */
export const goingIn = async (
  path: string,
  stays: (path: string, stat: Stats) => boolean,
  isTop = true,
): Promise<readonly string[]> => {
  const stat = await statIfThere(path);
  if (!stat) return [];
  if (!stays(path, stat)) return [path];
  const real = isTop ? await realPath(path) : path;
  if (!isTop && (!stat.isDirectory() || isMountPoint(path) || isLostAndFound(path))) return [];
  if (!(await lstat(real)).isDirectory()) return [];
  const inside = (await readdir(path)).map((name) => `${path}/${name}`);
  const listed = await Promise.all(inside.map((inner) => goingIn(inner, stays, false)));
  return listed.flat();
};

/**
 * Removes a file or a folder with its content. Follows no link. Throws when something is mounted in it; the message
 * names the processes that use the mount.
 */
export const removeTree = async (path: string): Promise<void> => {
  const [busy] = mountsBelow(`${await realPath(dirname(path))}/${basename(path)}`);
  if (busy) throw new Error(`${busy} is mounted in it${processesUsing(busy)}`);
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    // Node takes a file that it may not remove for a folder, and says that it is none.
    const { code, path: file } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR' && file !== undefined) await unlink(file);
    throw error;
  }
};
