import { access, constants, stat } from 'node:fs/promises';
import { constants as system } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import { execa } from 'execa';
import { endFamily } from './proc.ts';

/** Result of a finished command. */
export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  /** 128 + the number of the signal that ended it, 124 when it was ended for taking too long, 126 or 127 when it could not be started. */
  readonly code: number;
  /** Cause of its end, if it did not end by itself: "did not end within 60 s", "was ended by SIGKILL". */
  readonly ending?: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Folder that it runs in; `/` by default: that of the caller may be removed meanwhile. */
  readonly cwd?: string;
  /** Milliseconds until the command and all that it started are ended; a minute by default. */
  readonly timeout?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Variables by which a caller's environment would lead the tools of a cluster, or Node, to something else. */
const misleading =
  /^(CRI_CONFIG_FILE|CONTAINER_RUNTIME_ENDPOINT|IMAGE_SERVICE_ENDPOINT|KUBECONFIG|NODE_OPTIONS|(CONTAINERD|ETCDCTL|KUBECTL)_\w+)$/;

/** Returns the environment of every command that is run: the caller's, without what misleads, and `own`. */
const environment = (own: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => {
  const kept = Object.entries(process.env).filter(([name]) => !misleading.test(name));
  return { ...Object.fromEntries(kept), ...own };
};

const minute = 60_000;
/** Milliseconds that a command which is being ended may take before it gets SIGKILL. */
const patienceMs = 5000;

/** Quotes words so that a POSIX shell reads them back as they are, and leaves alone what needs no quotes. */
export const quoted = (argv: readonly string[]): string =>
  argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');

/** A command that ended with anything but 0; its message holds the command, how it ended and the last lines it wrote. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly ran: Ran;
  /** Last lines of the command, else how it ended. */
  readonly words: string;
  constructor(argv: readonly string[], ran: Ran) {
    const lines = (ran.stderr.trim() || ran.stdout.trim()).split('\n');
    const words = lines.filter((line) => line !== ran.ending).slice(-6);
    super([`${quoted(argv)}: ${ran.ending ?? `exit code ${ran.code}`}`, ...words].join('\n').trimEnd());
    this.ran = ran;
    this.words = words.join('\n') || (ran.ending ?? `exit code ${ran.code}`);
  }
}

/** A started process: the part of execa's and zx's objects that is needed to end it. */
interface Started {
  readonly pid?: number | undefined;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
}

/**
 * Waits for a command. At its time-out, or when the signal is aborted, ends it with all that it started and closes its
 * pipes: a process out of reach may still hold them, and the wait would last as long as that process. Returns the
 * result, and whether the time-out ended it.
 */
const waitWithin = async <T>(
  started: Started,
  result: PromiseLike<T>,
  { timeout, signal }: { readonly timeout: number; readonly signal: AbortSignal | undefined },
): Promise<{ readonly result: T; readonly late: boolean }> => {
  let late = false;
  const stop = async (): Promise<void> => {
    if (started.pid !== undefined) await endFamily(started.pid, patienceMs);
    started.stdout?.destroy();
    started.stderr?.destroy();
  };
  const timer = setTimeout(() => {
    late = true;
    void stop();
  }, timeout);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return { result: await result, late };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
};

/** The parts of execa's and zx's results that tell how a command ended. */
interface Result {
  readonly stdout?: string | undefined;
  readonly stderr?: string | undefined;
  readonly exitCode?: number | null | undefined;
  readonly signal?: string | null | undefined;
  /** execa: why it could not be started, such as ENOENT. */
  readonly code?: string | undefined;
}

/** The exit code as a shell has it (sh(1)). */
const codeOf = ({ exitCode, signal, code }: Result): number => {
  if (typeof exitCode === 'number') return exitCode;
  if (signal) return 128 + (system.signals[signal as NodeJS.Signals] ?? 0);
  return code === 'EACCES' ? 126 : 127;
};

/**
 * Makes a Ran. `late` is the time-out in milliseconds of a command that it ended; then the last line of stderr says so
 * too.
 */
const ranOf = (result: Result, late: number | undefined): Ran => {
  const { stdout = '', stderr = '', signal } = result;
  if (late !== undefined) {
    const ending = `did not end within ${late / 1000} s`;
    return { stdout, stderr: stderr.trim() === '' ? ending : `${stderr.trimEnd()}\n${ending}`, code: 124, ending };
  }
  return { stdout, stderr, code: codeOf(result), ...(signal && { ending: `was ended by ${signal}` }) };
};

/**
 * Runs a command without a shell and returns its result, whatever its exit code. Throws only when aborted, the reason
 * of the signal.
 */
export const tryRun = async (file: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Ran> => {
  const { input, env, cwd = '/', timeout = minute, signal } = options;
  signal?.throwIfAborted();
  const started = execa(file, args, {
    reject: false,
    maxBuffer: 64 * 1024 * 1024,
    ...(input === undefined ? { stdin: 'ignore' } : { input }),
    env: environment(env),
    extendEnv: false,
    cwd,
  });
  const { result, late } = await waitWithin(started, started, { timeout, signal });
  signal?.throwIfAborted();
  const isStarted = result.exitCode !== undefined || result.signal !== undefined;
  const stderr = isStarted ? result.stderr : result.shortMessage;
  return ranOf({ ...result, stderr }, late ? timeout : undefined);
};

/** Runs a command without a shell; throws CommandFailed unless it ends with 0. */
export const run = async (file: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Ran> => {
  const ran = await tryRun(file, args, options);
  if (ran.code !== 0) throw new CommandFailed([file, ...args], ran);
  return ran;
};

/**
 * Runs a command that changes the machine and that a learner is shown word for word, or its undo. It may install packages
 * or wait for a unit to stop, so it has a quarter of an hour by default; debconf asks nothing. Throws CommandFailed unless it ends
 * with 0.
 */
export const runShown = async (
  argv: readonly string[],
  { timeout = 15 * minute, signal }: Pick<RunOptions, 'timeout' | 'signal'> = {},
): Promise<void> => {
  signal?.throwIfAborted();
  const { $ } = await import('zx/core'); // loaded where it is used: it is a tenth of a second
  const env = environment({ DEBIAN_FRONTEND: 'noninteractive' });
  const started = $({ quiet: true, nothrow: true, stdio: ['ignore', 'pipe', 'pipe'], env, cwd: '/' })`${argv}`;
  const { result, late } = await waitWithin(started, started, { timeout, signal });
  signal?.throwIfAborted();
  const ran = ranOf(result, late ? timeout : undefined);
  if (ran.code !== 0) throw new CommandFailed(argv, ran);
};

/**
 * Runs a command on this terminal until it ends and returns its exit code. Ctrl-C is left to the command. Throws where it
 * cannot be started: nobody else would say so.
 */
export const attach = async (
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<number> => {
  const ignore = (): void => {};
  const own = { env: environment(env), extendEnv: false };
  process.on('SIGINT', ignore); // the terminal sends it to both of us; only the command decides what it means
  try {
    const result = await execa(file, args, { ...own, stdio: 'inherit', reject: false });
    if (result.exitCode !== undefined || result.signal !== undefined) return codeOf(result);
    const why = result.code === 'EACCES' ? 'it may not be executed' : 'it is missing';
    throw new Error(`${file} cannot be started: ${why}`);
  } finally {
    process.off('SIGINT', ignore);
  }
};

/** PATH as this program was started with it, before `useOwnPath`. */
export const firstPath = process.env['PATH'] ?? '';

/** Folders of packaged programs; PATH may lack those of sbin after a plain su. */
const usualFolders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Finds a program on PATH and in the usual folders; undefined where there is none that can be read. */
export const findCommand = async (name: string): Promise<string | undefined> => {
  const folders = new Set([...(process.env['PATH'] ?? '').split(delimiter), ...usualFolders].filter(Boolean));
  const places = [...folders].map((folder) => join(folder, name));
  const found = await Promise.all(places.map(isProgram));
  return places.find((_, index) => found[index]);
};

/** Tells whether a path is a file that may be executed; a folder is not. */
export const isProgram = async (path: string): Promise<boolean> => {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
};
