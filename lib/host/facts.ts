import { readFileSync, realpathSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { arch, availableParallelism, hostname, totalmem } from 'node:os';
import { basename } from 'node:path';
import { accounts, isPersons } from './accounts.ts';
import { hasApt } from './apt.ts';
import { missingControllers } from './cgroups.ts';
import { type Firewall, readFirewall } from './facts/firewall.ts';
import { type Belongings, belongings, type Wanted } from './facts/foreign.ts';
import { type Network, network } from './facts/network.ts';
import { type Place, placesOf } from './facts/places.ts';
import { exists, readIfThere } from './files.ts';
import { type ForbiddenModule, forbiddenModules } from './modules.ts';
import { sockets } from './net.ts';
import { paths } from './paths.ts';
import { executableOf } from './proc.ts';
import { findCommand, tryRun } from './run.ts';

/** A TCP port in the state LISTEN, and the process that holds it. */
export interface Listener {
  readonly address: string;
  readonly port: number;
  readonly pid: number;
  /** Name of the executable, because comm, the name that a process gives itself, is often that of a thread. */
  readonly process: string;
  /**
   * Whether the program is one in our folder, or the file that a link there leads to: in the cache, or in the folder of
   * --source dir.
   */
  readonly ours: boolean;
}

/** Facts of this machine on which the settings of a lab depend, and which may change under it. */
export interface MachineNow {
  readonly cgroup: 'v1' | 'v2';
  readonly canLowerOomScoreAdj: boolean;
  readonly canSetConntrackLimits: boolean;
  /** Files of name servers, the preferred one first. */
  readonly resolvers: readonly Resolver[];
  readonly swap: boolean;
  readonly ufw: boolean;
}

/** Facts of this machine, read without changing or judging anything; preflight judges them. */
export interface HostFacts extends Network, Belongings, MachineNow {
  readonly root: boolean;
  readonly platform: string;
  readonly arch: string;
  /** Name of the process with pid 1. */
  readonly init: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly places: readonly Place[];
  /** Controllers of cgroups that a kubelet needs and that are not there. */
  readonly missingControllers: readonly string[];
  readonly forbiddenModules: readonly ForbiddenModule[];
  readonly hostName: string;
  readonly hostNameResolves: boolean;
  readonly listeners: readonly Listener[];
  /** Commands that the components call and that are not on PATH. */
  readonly missing: readonly string[];
  readonly apt: boolean;
  /** Names of the accounts of root and of people. */
  readonly people: readonly string[];
  readonly firewall: Firewall;
}

const leadsTo = (path: string): string | undefined => {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
};

const isOurs = (executable: string): boolean =>
  [paths.bin, paths.cache].some((folder) => executable.startsWith(`${folder}/`)) ||
  leadsTo(`${paths.bin}/${basename(executable)}`) === executable;

const listening = async (): Promise<readonly Listener[]> =>
  (await sockets('tcp')).map(({ address, port, pid, process }) => {
    const executable = executableOf(pid);
    return {
      address,
      port,
      pid,
      process: basename(executable) || process || 'an unknown process',
      ours: isOurs(executable),
    };
  });

/** Commands that the components, or hardway itself, run on the host, to the Debian package of each. */
export const hostCommands: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  ss: 'iproute2',
  iptables: 'iptables',
  modprobe: 'kmod',
  sysctl: 'procps',
  mount: 'mount',
  useradd: 'passwd',
};

/** A file of name servers. */
export interface Resolver {
  readonly path: string;
  readonly servers: readonly string[];
}

/** Reads the files of name servers, the usual one first; the other has those that systemd-resolved's stub asks. */
const resolversOf = (): Promise<readonly Resolver[]> =>
  Promise.all(
    ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'].map(async (path) => {
      const lines = ((await readIfThere(path)) ?? '').matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm);
      return { path, servers: [...lines].map(([, server = '']) => server) };
    }),
  );

/**
 * Tells whether a process here may lower oom_score_adj: bit 24 of the bounding set is CAP_SYS_RESOURCE
 * (capabilities(7)).
 */
const canLowerOomScoreAdj = (): boolean => {
  const bounding = /^CapBnd:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${bounding}`) >> 24n) & 1n) === 1n;
};

const isWritable = (path: string): Promise<boolean> =>
  stat(path).then(
    ({ mode }) => (mode & 0o200) !== 0,
    () => true,
  );

/** Lists the commands that the components call and that are not on PATH. */
export const missingCommands = async (): Promise<readonly string[]> => {
  const found = await Promise.all(
    Object.keys(hostCommands).map(async (name) => ((await findCommand(name)) ? [] : [name])),
  );
  return found.flat();
};

/** Reads the facts on which the settings of a lab depend. */
export const machineNow = async (): Promise<MachineNow> => {
  const [resolvers, swaps, ufw, cgroup2, conntrack] = await Promise.all([
    resolversOf(),
    readIfThere('/proc/swaps'),
    readIfThere('/etc/ufw/ufw.conf'),
    exists('/sys/fs/cgroup/cgroup.controllers'),
    isWritable('/proc/sys/net/netfilter/nf_conntrack_max'),
  ]);
  return {
    cgroup: cgroup2 ? 'v2' : 'v1',
    canLowerOomScoreAdj: process.platform === 'linux' && canLowerOomScoreAdj(),
    canSetConntrackLimits: conntrack,
    resolvers,
    swap: (swaps ?? '').trim().split('\n').length > 1,
    ufw: /^ENABLED=yes/m.test(ufw ?? ''),
  };
};

/** Names of what is looked for. */
interface Names extends Wanted {
  /** Paths whose file systems are looked at. */
  readonly places: readonly string[];
  readonly modules: readonly string[];
}

/**
 * Gathers the facts of this machine. `wanted` names the interface of the node's address instead of the default route's.
 * `names` are those of our units and paths: others may be there by the same.
 */
export const gatherFacts = async (wanted: string | undefined, names: Names): Promise<HostFacts> => {
  const hostName = hostname();
  const [
    net,
    machine,
    listeners,
    foreign,
    resolves,
    places,
    missingCgroups,
    forbidden,
    init,
    apt,
    known,
    missing,
    firewall,
  ] = await Promise.all([
    network(wanted),
    machineNow(),
    listening(),
    belongings(names),
    tryRun('getent', ['ahostsv4', hostName], { timeout: 4000 }),
    placesOf(names.places),
    missingControllers(),
    forbiddenModules(names.modules),
    readIfThere('/proc/1/comm'),
    hasApt(),
    accounts(),
    missingCommands(),
    readFirewall(),
  ]);
  return {
    root: process.getuid?.() === 0,
    platform: process.platform,
    arch: arch(),
    init: init?.trim() ?? '',
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    places,
    missingControllers: missingCgroups,
    forbiddenModules: forbidden,
    hostName,
    hostNameResolves: resolves.code === 0,
    ...net,
    ...machine,
    listeners,
    ...foreign,
    missing,
    apt,
    people: known.filter(isPersons).map(({ name }) => name),
    firewall,
  };
};
