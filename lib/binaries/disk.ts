import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isDiskFull, UserError } from '../engine/errors.ts';

/** Runs `work`, which writes `path`. Throws a UserError that names the disk when it is full; other errors pass. */
export const withDiskSpace = async <T>(doing: string, path: string, work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (thrown) {
    if (!isDiskFull(thrown)) throw thrown;
    const folder = dirname(path);
    const free = await statfs(folder).then(
      ({ bavail, bsize }) => `${Math.floor((bavail * bsize) / 1e6)} MB`,
      () => 'nothing',
    );
    throw new UserError(
      `no space left on the disk of ${folder} while ${doing} (${free} free, hardway wants 5 GB)`,
      `make room there, or name a folder on another disk: HARDWAY_CACHE=/other/folder, and run the same command again`,
    );
  }
};
