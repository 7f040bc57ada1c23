import { access, constants, realpath, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Mount, mountTable } from '../mounts.ts';

/** The file system that a path is on, or will be on once it is made. */
export interface Place {
  readonly path: string;
  /** Where that file system is mounted, and its type. */
  readonly point: string;
  readonly type: string;
  readonly readOnly: boolean;
  /** What of the path not even root may change, as chattr +i has it: the path itself, or the nearest folder. */
  readonly locked?: string;
  /** True if no program on it can be started. */
  readonly noexec: boolean;
  readonly freeBytes: number;
  /** Part of its inodes that is free, from 0 to 1; 1 where it does not count them, as btrfs does not. */
  readonly freeInodes: number;
}

/** Returns the nearest folder of a path that is there, without links. */
export const nearestFolder = async (path: string): Promise<string> =>
  realpath(path).catch(() => nearestFolder(dirname(path)));

/** Finds the mount that a path without links is on: the last of those with the longest mount point above it. */
export const mountAt = (mounts: readonly Mount[], path: string): Mount | undefined =>
  mounts
    .filter(({ point }) => point === path || path.startsWith(point === '/' ? '/' : `${point}/`))
    .reduce<Mount | undefined>(
      (found, mount) => (found && found.point.length > mount.point.length ? found : mount),
      undefined,
    );

/** Tells whether root is refused to write to a file or folder: the kernel says EPERM of what is immutable. */
const isLocked = (path: string): Promise<boolean> =>
  access(path, constants.W_OK).then(
    () => false,
    ({ code }: NodeJS.ErrnoException) => code === 'EPERM',
  );

/** Looks at the file systems that these paths are on. */
export const placesOf = async (wanted: readonly string[]): Promise<readonly Place[]> => {
  const mounts = mountTable();
  return Promise.all(
    wanted.map(async (path) => {
      const folder = await nearestFolder(path);
      const { point = '/', type = '', options = [] } = mountAt(mounts, folder) ?? {};
      const locked = await isLocked(folder);
      const { bavail, bsize, files, ffree } = await statfs(folder);
      return {
        path,
        point,
        type,
        readOnly: options.includes('ro'),
        ...(locked && { locked: folder }),
        noexec: options.includes('noexec'),
        freeBytes: bavail * bsize,
        freeInodes: files === 0 ? 1 : ffree / files,
      };
    }),
  );
};
