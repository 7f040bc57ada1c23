import { readFileSync } from 'node:fs';
import { execa } from 'execa';

/** What a finished command left behind. `code` is 128 + signal number when a signal ended it, 127 when it was not found. */
export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Milliseconds; none by default. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

/** A command that ended with anything but 0; its message holds the command and the last lines it wrote to stderr. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly ran: Ran;
  constructor(argv: readonly string[], ran: Ran) {
    const words = (ran.stderr.trim() || ran.stdout.trim()).split('\n').slice(-6).join('\n');
    super(`${argv.join(' ')}: exit code ${ran.code}${words ? `\n${words}` : ''}`);
    this.ran = ran;
  }
}

/** Runs a command without a shell and returns what it left, whatever its exit code. Throws only when aborted. */
export const tryRun = async (file: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Ran> => {
  const { input, env, cwd, timeout, signal } = options;
  const result = await execa(file, args, {
    reject: false,
    maxBuffer: 64 * 1024 * 1024,
    ...(input === undefined ? { stdin: 'ignore' } : { input }),
    ...(env && { env }),
    ...(cwd && { cwd }),
    ...(timeout && { timeout }),
    ...(signal && { cancelSignal: signal }),
  });
  if (result.isCanceled) signal?.throwIfAborted();
  const words = result.stderr || (result.failed && result.exitCode === undefined ? result.shortMessage : '');
  const code = result.exitCode ?? (result.isTerminated ? 128 + 15 : 127);
  return { stdout: result.stdout ?? '', stderr: words ?? '', code };
};

/** Runs a command without a shell; throws CommandFailed unless it ends with 0. */
export const run = async (file: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Ran> => {
  const ran = await tryRun(file, args, options);
  if (ran.code !== 0) throw new CommandFailed([file, ...args], ran);
  return ran;
};

/** The CPU time that this process and the commands that it has run to their end have used, in milliseconds. */
export const cpuMilliseconds = (): number => {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // proc(5): from field 3 on, the state
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0); // utime, stime, cutime, cstime
  return ticks * 10; // the kernel counts hundredths of a second for programs, whatever its own clock
};

/** Runs a command on this terminal until it ends and returns its exit code; Ctrl-C is the command's to answer. */
export const attach = async (
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<number> => {
  const ignore = (): void => {};
  process.on('SIGINT', ignore); // the terminal sends it to both of us; only the command decides what it means
  try {
    const result = await execa(file, args, { stdio: 'inherit', env, reject: false });
    return result.exitCode ?? (result.signal ? 130 : 127);
  } finally {
    process.off('SIGINT', ignore);
  }
};
