import { linkSync, lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { kindOf } from '../host/files.ts';
import { identify, isAlive } from '../host/proc.ts';
import { UserError } from './errors.ts';

/**
 * Reads the lock from the disk, "pid start"; undefined where there is none. Throws UserError where something else than a
 * lock is at its path: nothing of ours made it, so nothing of ours removes it.
 */
const read = (path: string): string | undefined => {
  try {
    const stat = lstatSync(path);
    if (!stat.isFile() || stat.size > 1000) {
      const what = stat.isFile() ? 'a file of somebody else' : kindOf(stat);
      throw new UserError(
        `${path}, the lock of hardway, is ${what}`,
        `ls -ld ${path}; when it is not needed, remove it`,
      );
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
};

/** Returns the pid of the living process that wrote a lock; undefined where it has ended or the lock is torn. */
const holderOf = (lock: string): number | undefined => {
  const [pid, start] = lock.trim().split(' ').map(Number);
  return pid && start && isAlive({ pid, start }) ? pid : undefined;
};

/** Makes the link, which only one of several processes can; returns false where another has. */
const linked = (mine: string, path: string): boolean => {
  try {
    linkSync(mine, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
};

/**
 * Removes a lock whose holder has ended. Another process may have replaced it since it was read, so removing needs a
 * lock of its own, under which the stale one is read again.
 */
const removeStale = (path: string, stale: string): void => {
  const release = takeLock(`${path}.takeover`);
  try {
    if (read(path) === stale) rmSync(path);
  } finally {
    release();
  }
};

/**
 * Takes the lock that keeps two commands from changing one machine at once; replaces a lock whose holder has ended.
 * Returns the function that releases it. Throws UserError naming the process that holds it.
 */
export const takeLock = (path: string): (() => void) => {
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, `${process.pid} ${identify(process.pid)?.start}\n`, { mode: 0o644 });
  try {
    while (!linked(mine, path)) {
      const lock = read(path);
      if (lock === undefined) continue; // released since
      const holder = holderOf(lock);
      if (holder !== undefined) {
        throw new UserError(
          `another hardway is at work on this machine (pid ${holder})`,
          'wait until it is done, or watch with: hardway status --watch',
        );
      }
      removeStale(path, lock);
    }
    return () => rmSync(path, { force: true });
  } finally {
    rmSync(mine, { force: true });
  }
};

/** Holds the lock, as takeLock takes it, for as long as `work` goes on. */
export const withLock = async <T>(path: string, work: () => Promise<T>): Promise<T> => {
  const release = takeLock(path);
  try {
    return await work();
  } finally {
    release();
  }
};
