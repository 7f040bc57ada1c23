import { tryRun } from './run.ts';

/**
 * Asks iproute2, and returns what it prints as JSON; nothing where it fails, as for a family that the kernel has not.
 * Of a link that does not fit the question it prints an empty object, which is left out.
 */
export const ipJson = async <T extends object>(...args: readonly string[]): Promise<readonly T[]> => {
  const { stdout, code } = await tryRun('ip', ['-j', ...args]);
  if (code !== 0 || stdout.trim() === '') return [];
  return (JSON.parse(stdout) as T[]).filter((one) => Object.keys(one).length > 0);
};

/** A socket that waits for what comes. */
export interface Socket {
  readonly protocol: string;
  /** As ss prints it: 127.0.0.1, [::], *, with %DEVICE where it is bound to one. */
  readonly address: string;
  readonly port: number;
  /** Of the first process that holds it, with the name that this gives itself; 0 and empty where that cannot be seen. */
  readonly pid: number;
  readonly process: string;
}

/** Parses what `ss -Hlnp` with -t and -u prints. A process's name may hold blanks, quotes and parentheses. */
export const parseSockets = (text: string): readonly Socket[] =>
  text.split('\n').flatMap((line) => {
    const [protocol = '', , , , local = ''] = line.trim().split(/\s+/);
    const colon = local.lastIndexOf(':');
    if (colon < 0) return [];
    const [, process = '', pid = '0'] = /users:\(\("(.*?)",pid=(\d+),fd=/.exec(line) ?? [];
    const address = local.slice(0, colon);
    return [{ protocol, address, port: Number(local.slice(colon + 1)), pid: Number(pid), process }];
  });

/** The sockets on which something listens: of TCP, or of TCP and UDP. */
export const sockets = async (kind: 'tcp' | 'all'): Promise<readonly Socket[]> => {
  // Asked for both in either case, or ss leaves out the first column.
  const { stdout } = await tryRun('ss', ['-Hltunp']);
  return parseSockets(stdout).filter(({ protocol }) => kind === 'all' || protocol === 'tcp');
};
