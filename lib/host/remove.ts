import type { Stats } from 'node:fs';
import { readdir, realpath, rm, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { statIfThere } from './files.ts';
import { mountsBelow, mountTable } from './mounts.ts';
import { processesUsing } from './proc.ts';

/** Tells whether a path is a folder or below it, by its name. */
export const isBelow = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** Returns the path that a path really has; the path itself where nothing is there. */
export const realPath = (path: string): Promise<string> => realpath(path).catch(() => path);

/**
 * Lists what goes when a path is emptied: the path itself if `stays` does not hold it back, else the topmost things in
 * it that are not held back. Follows a link only at `path` itself, and enters no file system that is mounted below it.
 * Passes over lost+found at the top of a file system, which e2fsck(8) needs.
 */
export const goingIn = async (
  path: string,
  stays: (path: string, stat: Stats) => boolean,
): Promise<readonly string[]> => {
  const points = new Set(mountTable().map(({ point }) => point));
  const goingFrom = async (folder: string, isTop: boolean): Promise<readonly string[]> => {
    const inside = await readdir(folder).catch(() => []); // no folder
    const listed = await Promise.all(
      inside
        .filter((name) => !(isTop && name === 'lost+found' && points.has(real)))
        .map((name) => goingAt(`${folder}/${name}`)),
    );
    return listed.flat();
  };
  const goingAt = async (one: string): Promise<readonly string[]> => {
    const stat = await statIfThere(one);
    if (!stat) return [];
    if (!stays(one, stat)) return [one];
    const isMounted = points.has(`${real}${one.slice(path.length)}`);
    return stat.isDirectory() && !isMounted ? goingFrom(one, false) : [];
  };
  const real = await realPath(path);
  const stat = await statIfThere(path);
  if (!stat) return [];
  return stays(path, stat) ? goingFrom(path, true) : [path];
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
