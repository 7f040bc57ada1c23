import { statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { readIfThere } from './files.ts';
import { mountTable } from './mounts.ts';
import { allPids } from './proc.ts';
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

/** Identifies the namespace that a file stands for; undefined where there is no such file any more. */
const namespaceAt = (path: string): string | undefined => {
  try {
    const { dev, ino } = statSync(path);
    return `${dev} ${ino}`;
  } catch {
    return undefined; // the process has ended
  }
};

/**
 * Lists the network namespaces beside our own, one file for each: of those that are mounted by name (ip-netns(8),
 * Docker's), and of those of processes.
 */
export const otherNetworkNamespaces = (): readonly string[] => {
  const named = mountTable().filter(({ type, point }) => type === 'nsfs' && basename(dirname(point)) === 'netns');
  const files = [
    '/proc/self/ns/net',
    ...named.map(({ point }) => point),
    ...allPids().map((pid) => `/proc/${pid}/ns/net`),
  ];
  const seen = new Map<string, string>();
  for (const file of files) {
    const id = namespaceAt(file);
    if (id !== undefined && !seen.has(id)) seen.set(id, file);
  }
  return [...seen.values()].slice(1);
};

/**
 * Lists the links of a kind, such as veth or bridge, in our network namespace or in the one that a file stands for; none
 * where that has ended. Leaves out the tunnel that ipip makes in every namespace, while it is down. Throws where the
 * links cannot be listed.
 */
export const linksOfKind = async (kind: string, namespace?: string): Promise<readonly string[]> => {
  const enter = namespace === undefined ? [] : ['nsenter', `--net=${namespace}`];
  const [file = '', ...args] = [...enter, 'ip', '-j', 'link', 'show', 'type', kind];
  const { stdout, stderr, code } = await tryRun(file, args);
  if (code !== 0 && namespace !== undefined && namespaceAt(namespace) === undefined) return [];
  if (code !== 0) throw new Error(stderr.trim());
  const links: { ifname?: string; flags?: readonly string[] }[] = JSON.parse(stdout.trim() || '[]');
  return links.flatMap(({ ifname, flags = [] }) =>
    ifname === undefined || (ifname === 'tunl0' && !flags.includes('UP')) ? [] : [ifname],
  );
};

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

/**
 * Lists the listening sockets: of TCP; or of TCP and UDP, each with %DEVICE where it is bound to one. For the devices ss
 * asks the kernel, which loads modules for that (tcp_diag, udp_diag); for the others it reads /proc/net.
 */
export const sockets = async (kind: 'tcp' | 'all'): Promise<readonly Socket[]> => {
  // Asks for both in either case: for one alone ss leaves out the first column.
  const { stdout } = await tryRun('ss', ['-Hltunp'], kind === 'tcp' ? { env: { PROC_ROOT: '/proc' } } : {});
  return parseSockets(stdout).filter(({ protocol }) => kind === 'all' || protocol === 'tcp');
};
