import type { Stats } from 'node:fs';
import { lstat, readlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/** Tells whether nobody but root and the person who runs this may change a file, or what a folder has by a name. */
const isOwn = (stat: Stats): boolean => {
  if (stat.uid !== 0 && stat.uid !== process.getuid?.()) return false;
  // In a sticky folder, such as /tmp, nobody replaces what belongs to another. The mode of a link means nothing.
  const shared = stat.isSymbolicLink() || (stat.isDirectory() && (stat.mode & 0o1000) !== 0);
  return shared || (stat.mode & 0o022) === 0;
};

/**
 * Finds what others may change of a path: the file itself, a folder above it, a link on the way, each by owner and mode.
 * Returns the first one from the root on, and undefined where only root and the person who runs this can. Throws
 * the error of lstat for a path that does not lead to anything.
 */
export const changeableByOthers = async (path: string): Promise<string | undefined> => {
  const names = resolve(path).split('/').slice(1);
  let place = '';
  for (const [index, name] of names.entries()) {
    place = `${place}/${name}`;
    const stat = await lstat(place);
    if (!isOwn(stat)) return place;
    if (stat.isSymbolicLink())
      return changeableByOthers(resolve(dirname(place), await readlink(place), ...names.slice(index + 1)));
  }
  return undefined;
};
