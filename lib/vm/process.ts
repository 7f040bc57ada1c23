import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process that cannot be mistaken for a later one with the same pid. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks between the machine's boot and the process's start: field 22 of /proc/PID/stat (proc(5)). */
  readonly start: number;
}

interface Stat extends ProcessId {
  readonly state: string;
  readonly parent: number;
}

const readStat = (pid: number): Stat | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in parentheses and may hold blanks and parentheses itself.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { pid, state: fields[0] ?? '', parent: Number(fields[1]), start: Number(fields[19]) };
  } catch {
    return undefined;
  }
};

export const identify = (pid: number): ProcessId | undefined => {
  const stat = readStat(pid);
  return stat && { pid, start: stat.start };
};

/** Whether this very process still runs; a zombie does not. */
export const isAlive = ({ pid, start }: ProcessId): boolean => {
  const stat = readStat(pid);
  return stat !== undefined && stat.start === start && stat.state !== 'Z' && stat.state !== 'X';
};

export const childrenOf = (pid: number): number[] =>
  readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && readStat(Number(entry))?.parent === pid)
    .map(Number);

/** Sends the signal unless the process is gone or is another one by now. */
export const signalProcess = (id: ProcessId, signal: NodeJS.Signals): void => {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
};

/** Waits until none of them runs; false when one still does after so many milliseconds. */
export const waitForEnd = async (ids: readonly ProcessId[], milliseconds: number): Promise<boolean> => {
  const deadline = Date.now() + milliseconds;
  while (ids.some(isAlive)) {
    if (Date.now() > deadline) return false;
    await sleep(50);
  }
  return true;
};
