import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, type Stats } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { run } from './run.ts';

/** A link on the way of a path that somebody else than root could have made. */
export class ForeignLink extends Error {
  override readonly name = 'ForeignLink';
}

/** Opens a folder only as a place to start from (open(2)); Node has no name for the flag. */
const pathOnly = 0o10_000_000;
const folderFlags = pathOnly | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Most links on the way of one path, as the kernel has it (path_resolution(7)). */
export const mostLinks = 40;

const isOurs = ({ uid }: Stats): boolean => uid === 0 || uid === process.getuid?.();
/**
 * Tells whether nobody else can move a link of root's into a folder. The group that may write to /usr/local on Debian is
 * root's choice, and has root's rights by that.
 */
const isOwnFolder = (stat: Stats): boolean => isOurs(stat) && ((stat.mode & 0o002) === 0 || (stat.mode & 0o1000) !== 0);

/** Returns the components of a path. */
export const namesIn = (path: string): readonly string[] =>
  path.split('/').filter((name) => name !== '' && name !== '.');

/** Says the real path in an error about a path through an open folder. */
const withRealPath = (thrown: unknown, opened: string, folder: string): unknown => {
  if (!(thrown instanceof Error)) return thrown;
  const error = thrown as NodeJS.ErrnoException & { dest?: string };
  error.message = error.message.replaceAll(opened, folder);
  if (error.path) error.path = error.path.replace(opened, folder);
  if (error.dest) error.dest = error.dest.replace(opened, folder);
  return error;
};

/** Opens a folder, one component after the other, as `inFolderOf` says; returns its file descriptor. */
const openFolder = (path: string): number => {
  let folder = openSync('/', folderFlags);
  let place = '/';
  try {
    let names = namesIn(resolve(path));
    let ours = true; // all folders so far
    for (let links = 0; names.length > 0; ) {
      const [name = '', ...rest] = names;
      place = `/proc/self/fd/${folder}/${name}`;
      const stat = lstatSync(place);
      names = rest;
      const isLink = stat.isSymbolicLink();
      if (isLink && !(ours && isOurs(stat) && ++links <= mostLinks))
        throw new ForeignLink(
          `${name} on the way to ${path} is a link that somebody else than root may have made: it is not followed`,
        );
      const target = isLink ? readlinkSync(place) : '';
      names = [...namesIn(target), ...names];
      if (isLink && !target.startsWith('/')) continue;
      const next = openSync(isLink ? '/' : place, folderFlags);
      closeSync(folder);
      folder = next;
      ours &&= isOwnFolder(fstatSync(folder));
    }
    return folder;
  } catch (error) {
    closeSync(folder);
    throw withRealPath(error, place, path);
  }
};

/**
 * Opens the folder in which a path lies, and calls `use` with another path to the same name, through the open folder:
 * nobody can lead it elsewhere by putting a link in the place of a folder meanwhile. Follows the links on the way that
 * only root can have made; from the first folder on into which others may put something, such as a home, none. Throws
 * ForeignLink for such a link.
 */
export const inFolderOf = async <T>(path: string, use: (place: string) => Promise<T>): Promise<T> => {
  const folder = dirname(resolve(path));
  const fd = openFolder(folder);
  const opened = `/proc/${process.pid}/fd/${fd}`;
  try {
    return await use(`${opened}/${basename(path)}`);
  } catch (error) {
    throw withRealPath(error, opened, folder === '/' ? '' : folder);
  } finally {
    closeSync(fd);
  }
};

/**
 * Removes a folder in a home with its content, and nothing through a link: rm(1) holds each folder open while it
 * removes what is in it, so that its owner cannot put a link there meanwhile. Throws ForeignLink as inFolderOf does.
 */
export const removeInHome = (path: string): Promise<unknown> =>
  inFolderOf(path, (place) =>
    run('rm', ['-rf', '--one-file-system', '--', `./${basename(path)}`], { cwd: dirname(place) }),
  );
