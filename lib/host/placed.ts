import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import type { Placed } from './change.ts';

/** Describes what is at a path once the file `from` was placed there: a hard link, a symbolic link, or a copy. */
export const placedFrom = (from: string, { size, mtimeMs }: Stats): Placed => ({
  size,
  mtimeMs: Math.round(mtimeMs),
  target: from,
});

/** Calls lstat; undefined where nothing is at that path, or where that cannot be told. */
export const lookAt = (path: string): Stats | undefined => {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
};

/** Tells whether what was placed at a path is still there. */
export const isStillThere = (path: string, { size, mtimeMs, target }: Placed): boolean => {
  const stat = lookAt(path);
  if (stat?.isSymbolicLink() && readlinkSync(path) === target) return true;
  return stat?.size === size && Math.round(stat.mtimeMs) === mtimeMs;
};
