import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { UserError } from './errors.ts';

/** When a process started, in clock ticks since boot: with its pid, a name that is never given twice. */
const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]; // proc(5): field 22, counted after "(comm) "
  } catch {
    return undefined;
  }
};

const holderOf = (path: string): { pid: number; start: string } | undefined => {
  try {
    const [pid, start] = readFileSync(path, 'utf8').trim().split(' ');
    return pid && start ? { pid: Number(pid), start } : undefined;
  } catch {
    return undefined;
  }
};

/**
 * Takes the lock that keeps two commands from changing one machine at once; a lock whose holder is gone is taken over.
 * Returns the function that gives it back. Throws UserError naming the process that holds it.
 */
export const takeLock = (path: string): (() => void) => {
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, `${process.pid} ${startOf(process.pid)}\n`, { mode: 0o644 });
  try {
    for (;;) {
      try {
        linkSync(mine, path); // atomic: exactly one of two can make the link
        return () => rmSync(path, { force: true });
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      }
      const holder = holderOf(path);
      if (holder && startOf(holder.pid) === holder.start) {
        throw new UserError(
          `another hardway is at work on this machine (pid ${holder.pid})`,
          'wait until it is done, or watch with: hardway status --watch',
        );
      }
      rmSync(path, { force: true });
    }
  } finally {
    rmSync(mine, { force: true });
  }
};
