import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Identity of a process: a later process with the same pid has another start. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks between the machine's boot and the process's start: field 22 of /proc/PID/stat (proc(5)). */
  readonly start: number;
}

interface Stat extends ProcessId {
  /** R, S, D, ...; Z is a zombie: it has ended and its parent has not asked for its exit code yet. */
  readonly state: string;
  readonly parent: number;
  /** Processor time of this process and of the children that it has waited for, in hundredths of a second. */
  readonly cpuTicks: number;
}

/** Parses /proc/PID/stat. Its second field is the name in parentheses and may itself hold blanks, parentheses and newlines. */
export const parseStat = (text: string): Stat => {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    pid: Number.parseInt(text, 10),
    state: fields[0] ?? '',
    parent: Number(fields[1]),
    start: Number(fields[19]),
    cpuTicks: fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0), // utime, stime, cutime, cstime
  };
};

const readStat = (pid: number): Stat | undefined => {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined; // no such process
  }
};

/** Lists the pids of all processes. */
export const allPids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** Identifies the process that has this pid now, a zombie too; undefined where there is none. */
export const identify = (pid: number): ProcessId | undefined => {
  const stat = readStat(pid);
  return stat && { pid, start: stat.start };
};

/** Tells whether this process still runs; a zombie does not. */
export const isAlive = ({ pid, start }: ProcessId): boolean => {
  const stat = readStat(pid);
  return stat !== undefined && stat.start === start && stat.state !== 'Z' && stat.state !== 'X';
};

/** Lists the pids of the children of a process. */
export const childrenOf = (pid: number): number[] => allPids().filter((one) => readStat(one)?.parent === pid);

/** Lists a process and its descendants, parents before their children; empty where it has ended. */
const familyOf = (pid: number): ProcessId[] => {
  const stats = allPids().flatMap((one) => readStat(one) ?? []);
  const below = (parent: number): ProcessId[] =>
    stats.filter((one) => one.parent === parent).flatMap((one) => [one, ...below(one.pid)]);
  return [...stats.filter((one) => one.pid === pid), ...below(pid)];
};

/** Sends a signal unless the process has ended and its pid may be another's. */
export const signalProcess = (id: ProcessId, signal: NodeJS.Signals): void => {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
};

/** Waits until none of the processes runs. Returns false when one still does after so many milliseconds. */
export const waitForEnd = async (ids: readonly ProcessId[], milliseconds: number): Promise<boolean> => {
  const deadline = Date.now() + milliseconds;
  while (ids.some(isAlive)) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
};

/**
 * Ends a process: sends `first`, and SIGKILL when it has not ended after `limitMs` milliseconds. Throws when it has not
 * ended after as long again: the kernel holds a process that waits for a dead disk (state D).
 */
export const endProcess = async (pid: number, first: NodeJS.Signals, limitMs = 20_000): Promise<void> => {
  const id = identify(pid);
  if (!id) return;
  signalProcess(id, first);
  if (await waitForEnd([id], limitMs)) return;
  signalProcess(id, 'SIGKILL');
  if (!(await waitForEnd([id], limitMs))) throw new Error(`process ${pid} does not end, not even by SIGKILL`);
};

/** Ends a process and its descendants: SIGTERM, and after `patienceMs` milliseconds SIGKILL to those that still run. */
export const endFamily = async (pid: number, patienceMs: number): Promise<void> => {
  const family = familyOf(pid);
  for (const one of family) signalProcess(one, 'SIGTERM');
  if (await waitForEnd(family, patienceMs)) return;
  const late = family.filter(isAlive);
  for (const one of [...late.flatMap((parent) => familyOf(parent.pid)), ...late]) signalProcess(one, 'SIGKILL');
  await waitForEnd(late, 1000);
};

/**
 * Returns the words of a process's command line; empty for a zombie, a kernel thread, or where there is no such
 * process.
 */
export const commandLineOf = (pid: number): readonly string[] => {
  try {
    const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return text === '' ? [] : text.replace(/\0$/, '').split('\0');
  } catch {
    return [];
  }
};

/**
 * Returns the name that a process gives itself (comm), often that of a thread; empty where there is no such process.
 */
export const nameOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').replace(/\n$/, '');
  } catch {
    return '';
  }
};

/**
 * Returns the path of a process's program, also when its file was replaced or deleted since; empty where it cannot be
 * read.
 */
export const executableOf = (pid: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    return '';
  }
};

/** Tells whether a process has its working directory, root, program or an open file in a folder. */
const isUsing = (pid: number, folder: string): boolean => {
  try {
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`);
    return ['cwd', 'root', 'exe', ...open].some((link) => {
      try {
        const target = readlinkSync(`/proc/${pid}/${link}`);
        return target === folder || target.startsWith(`${folder}/`);
      } catch {
        return false; // closed since it was listed
      }
    });
  } catch {
    return false; // ended since it was listed
  }
};

/** Names the processes that use a folder, for a message: "; used by sleep (pid 12)". Empty where none is found. */
export const processesUsing = (folder: string): string => {
  const names = allPids()
    .filter((pid) => isUsing(pid, folder))
    .map((pid) => `${nameOf(pid)} (pid ${pid})`);
  return names.length > 0 ? `; used by ${names.join(', ')}` : '';
};

/** Returns the CPU time of this process and of its finished commands, in milliseconds. */
export const cpuMilliseconds = (): number => (readStat(process.pid)?.cpuTicks ?? 0) * 10;

/** Tells whether a file is a script: the kernel starts its interpreter, with the script's path as an argument (execve(2)). */
const isScript = (path: string): boolean => {
  const file = openSync(path, 'r');
  try {
    const start = Buffer.alloc(2);
    readSync(file, start);
    return start.toString() === '#!';
  } finally {
    closeSync(file);
  }
};

/**
 * Tells whether a process runs the program that is now at this path; false when it has ended or its file was replaced.
 * Of a script that was replaced it cannot tell.
 */
export const runsFile = (pid: number, path: string): boolean => {
  const running = statSync(`/proc/${pid}/exe`, { throwIfNoEntry: false });
  const there = statSync(path, { throwIfNoEntry: false });
  if (running === undefined || !there?.isFile()) return false;
  if (running.dev === there.dev && running.ino === there.ino) return true;
  return isScript(path) && commandLineOf(pid).includes(path);
};
