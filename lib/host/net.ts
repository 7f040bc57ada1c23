import { readIfThere } from './files.ts';
import { quoted, tryRun } from './run.ts';

/**
 * Runs iproute2 and returns the objects that it prints as JSON; none where it fails, as for a family that the kernel
 * lacks. Throws where it prints something else. Leaves out the empty objects that it prints for links that do not match.
 */
export const ipJson = async <T extends object>(...args: readonly string[]): Promise<readonly T[]> => {
  const { stdout, code } = await tryRun('ip', ['-j', ...args]);
  if (code !== 0 || stdout.trim() === '') return [];
  try {
    return (JSON.parse(stdout) as T[]).filter((one) => Object.keys(one).length > 0);
  } catch {
    throw new Error(`${quoted(['ip', '-j', ...args])} prints no JSON, but ${JSON.stringify(stdout.slice(0, 80))}`);
  }
};

/** Returns the largest packet of an interface, in bytes; Ethernet's where there is no such interface. */
export const mtuOf = async (name: string): Promise<number> =>
  Number((await readIfThere(`/sys/class/net/${name}/mtu`)) ?? 1500);

/** A listening socket. */
export interface Socket {
  readonly protocol: string;
  /** Address as ss prints it: 127.0.0.1, [::], *, with %DEVICE where it is bound to one. */
  readonly address: string;
  readonly port: number;
  /**
   * Pid of the first process that holds it, and the name that this process gives itself; 0 and empty where they cannot
   * be seen.
   */
  readonly pid: number;
  readonly process: string;
}

/** Parses the output of `ss -Hlntup`. A process's name may contain blanks, quotes and parentheses. */
export const parseSockets = (text: string): readonly Socket[] =>
  text.split('\n').flatMap((line) => {
    const [protocol = '', , , , local = ''] = line.trim().split(/\s+/);
    const colon = local.lastIndexOf(':');
    if (colon < 0) return [];
    const [, process = '', pid = '0'] = /users:\(\("(.*?)",pid=(\d+),fd=/.exec(line) ?? [];
    const address = local.slice(0, colon);
    return [{ protocol, address, port: Number(local.slice(colon + 1)), pid: Number(pid), process }];
  });

/** Lists the listening sockets: of TCP, or of TCP and UDP. */
export const sockets = async (kind: 'tcp' | 'all'): Promise<readonly Socket[]> => {
  // Asks for both in either case: for one alone ss leaves out the first column.
  const { stdout } = await tryRun('ss', ['-Hltunp']);
  return parseSockets(stdout).filter(({ protocol }) => kind === 'all' || protocol === 'tcp');
};
