import { readFileSync, realpathSync } from 'node:fs';
import { readdir, stat, statfs } from 'node:fs/promises';
import { arch, availableParallelism, hostname, totalmem } from 'node:os';
import { basename } from 'node:path';
import { exists, readIfThere } from './files.ts';
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

/** An IPv4 network that this machine has an address in or a route to. */
export interface HostNetwork {
  readonly cidr: string;
  /** Absent for a route that leads nowhere. */
  readonly interface?: string;
  /** The kind of a route that leads nowhere: blackhole, unreachable, prohibit. */
  readonly type?: string;
  /** Routing protocol that made a route: rtnetlink's number, or the name that iproute2 has for it. */
  readonly protocol?: string;
}

/** Facts of this machine, read without changing or judging anything; preflight judges them. */
export interface HostFacts {
  readonly root: boolean;
  readonly platform: string;
  readonly arch: string;
  /** Name of the process with pid 1. */
  readonly init: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly hostName: string;
  readonly hostNameResolves: boolean;
  /** Interface and address of the default route. */
  readonly node: { readonly interface: string; readonly address: string } | undefined;
  readonly networks: readonly HostNetwork[];
  readonly listeners: readonly Listener[];
  /** Sentences about traces of another Kubernetes, containerd or etcd. */
  readonly foreign: readonly string[];
  /** Commands that the components call and that are not on PATH. */
  readonly missing: readonly string[];
  readonly apt: boolean;
  readonly cgroup: 'v1' | 'v2';
  readonly canLowerOomScoreAdj: boolean;
  readonly canSetConntrackLimits: boolean;
  readonly resolvConf: string | undefined;
  readonly swap: boolean;
  readonly ufw: boolean;
  readonly iptables: 'nft' | 'legacy' | undefined;
}

interface Route {
  readonly dst: string;
  /** Absent for a route that leads nowhere, and for one with several next hops. */
  readonly dev?: string;
  readonly nexthops?: readonly { readonly dev?: string }[];
  readonly type?: string;
  readonly protocol?: string;
  readonly prefsrc?: string;
  readonly metric?: number;
}
interface Link {
  readonly ifname: string;
  /** Absent for a link that has no address of the family asked for: iproute2 prints an empty object then. */
  readonly addr_info?: readonly {
    readonly family: string;
    readonly local: string;
    readonly prefixlen: number;
    readonly scope: string;
  }[];
}

const ipJson = async <T>(args: readonly string[]): Promise<T[]> => {
  const { stdout, code } = await tryRun('ip', ['-j', '-4', ...args]);
  return code === 0 && stdout.trim() ? (JSON.parse(stdout) as T[]) : [];
};

const deviceOf = ({ dev, nexthops = [] }: Route): string | undefined => dev ?? nexthops[0]?.dev;

const networkOf = (route: Route): HostNetwork => {
  const device = deviceOf(route);
  return {
    cidr: route.dst,
    ...(device && { interface: device }),
    ...(route.type && { type: route.type }),
    ...(route.protocol && { protocol: route.protocol }),
  };
};

/**
 * Reads what `ip -j addr` and `ip -j route` print. The node's address is the one that the default route with the lowest
 * metric leaves by, as kubelet and Calico find it.
 */
export const networkIn = (
  links: readonly Link[],
  routes: readonly Route[],
  wanted: string | undefined,
): Pick<HostFacts, 'node' | 'networks'> => {
  const addresses = links.flatMap(({ ifname, addr_info = [] }) =>
    addr_info.filter(({ scope }) => scope !== 'host').map((one) => ({ interface: ifname, ...one })),
  );
  const defaults = routes
    .filter((route) => route.dst === 'default' && deviceOf(route))
    .sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0));
  const device = wanted ?? (defaults[0] && deviceOf(defaults[0]));
  const source = defaults.find((route) => deviceOf(route) === device)?.prefsrc;
  const address = source ?? addresses.find((one) => one.interface === device && one.scope === 'global')?.local;
  return {
    node: device && address ? { interface: device, address } : undefined,
    networks: [
      ...addresses.map(({ interface: name, local, prefixlen }) => ({ interface: name, cidr: `${local}/${prefixlen}` })),
      ...routes.filter(({ dst }) => dst.includes('/')).map(networkOf),
    ],
  };
};

const network = async (wanted: string | undefined): Promise<Pick<HostFacts, 'node' | 'networks'>> => {
  const [links, routes] = await Promise.all([ipJson<Link>(['addr', 'show', 'up']), ipJson<Route>(['route', 'show'])]);
  return networkIn(links, routes, wanted);
};

/** Returns the interface and address of the Node as they are now; undefined where there is none. */
export const nodeNow = async (wanted: string | undefined): Promise<HostFacts['node']> => (await network(wanted)).node;

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

const listening = async (): Promise<readonly Listener[]> => {
  const { stdout } = await tryRun('ss', ['-Hltnp']);
  return stdout.split('\n').flatMap((line) => {
    const local = line.trim().split(/\s+/)[3];
    const colon = local?.lastIndexOf(':') ?? -1;
    if (!local || colon < 0) return [];
    const holder = /\(\("([^"]*)",pid=(\d+)/.exec(line);
    const pid = Number(holder?.[2] ?? 0);
    const port = Number(local.slice(colon + 1));
    const executable = executableOf(pid);
    return [
      {
        address: local.slice(0, colon),
        port,
        pid,
        process: basename(executable) || holder?.[1] || 'an unknown process',
        ours: isOurs(executable),
      },
    ];
  });
};

/** Units and folders that show a Kubernetes or a container runtime of others, beside units with our names. */
const foreignUnits = [
  'docker',
  'crio',
  'k3s',
  'k3s-agent',
  'rke2-server',
  'k0scontroller',
  'snap.microk8s.daemon-kubelite',
];
const foreignFolders = [
  '/etc/kubernetes',
  '/var/lib/kubelet',
  '/var/lib/etcd',
  '/var/lib/rancher',
  '/var/lib/k0s',
  '/etc/cni/net.d',
  '/var/snap/microk8s',
];

const unitFolders = ['/etc/systemd/system', '/run/systemd/system', '/lib/systemd/system', '/usr/lib/systemd/system'];

const foreignTraces = async (ourUnits: readonly string[]): Promise<readonly string[]> => {
  const units = await Promise.all(
    [...ourUnits, ...foreignUnits].map(async (unit) => {
      for (const folder of unitFolders) {
        const text = await readIfThere(`${folder}/${unit}.service`);
        if (text !== undefined && !text.includes(paths.bin)) return [`the unit ${folder}/${unit}.service`];
      }
      return [];
    }),
  );
  const folders = await Promise.all(
    foreignFolders.map(async (folder) => {
      const entries = await readdir(folder).catch(() => []);
      return entries.length > 0 ? [`files in ${folder}`] : [];
    }),
  );
  const socket = (await exists('/run/containerd/containerd.sock'))
    ? ['the socket /run/containerd/containerd.sock']
    : [];
  return [...units.flat(), ...folders.flat(), ...socket];
};

/** Commands that the components, or hardway itself, run on the host, to the Debian package of each. */
export const hostCommands: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  ss: 'iproute2',
  iptables: 'iptables',
  modprobe: 'kmod',
  sysctl: 'procps',
  mount: 'mount',
};

const isOnPath = async (command: string): Promise<boolean> => (await findCommand(command)) !== undefined;

/**
 * Finds the resolv.conf for Pods. It must not name systemd-resolved's stub on 127.0.0.53, or CoreDNS would ask itself
 * for ever.
 */
const resolvConf = async (): Promise<string | undefined> => {
  const candidates = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];
  for (const path of candidates) {
    const servers = [...((await readIfThere(path)) ?? '').matchAll(/^nameserver\s+(\S+)/gm)].map(
      ([, server]) => server ?? '',
    );
    if (servers.length > 0 && !servers.some((server) => server.startsWith('127.') || server === '::1')) return path;
  }
  return undefined;
};

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
    Object.keys(hostCommands).map(async (name) => ((await isOnPath(name)) ? [] : [name])),
  );
  return found.flat();
};

/**
 * Gathers the facts of this machine. `wanted` names the interface of the node's address instead of the default route's.
 * `units` are the names of our units: a unit of that name that does not start a program of ours is foreign.
 */
export const gatherFacts = async (wanted: string | undefined, units: readonly string[]): Promise<HostFacts> => {
  const linux = process.platform === 'linux';
  const hostName = hostname();
  const [net, listeners, foreign, resolves, disk, init, conf, swaps, ufw, apt, iptables, cgroup2, conntrack, missing] =
    await Promise.all([
      network(wanted),
      listening(),
      foreignTraces(units),
      tryRun('getent', ['ahostsv4', hostName], { timeout: 5000 }),
      statfs('/var/lib').catch(() => undefined),
      readIfThere('/proc/1/comm'),
      resolvConf(),
      readIfThere('/proc/swaps'),
      readIfThere('/etc/ufw/ufw.conf'),
      isOnPath('apt-get'),
      tryRun('iptables', ['--version']),
      exists('/sys/fs/cgroup/cgroup.controllers'),
      isWritable('/proc/sys/net/netfilter/nf_conntrack_max'),
      missingCommands(),
    ]);
  return {
    root: process.getuid?.() === 0,
    platform: process.platform,
    arch: arch(),
    init: init?.trim() ?? '',
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    diskBytes: disk ? disk.bavail * disk.bsize : 0,
    hostName,
    hostNameResolves: resolves.code === 0,
    ...net,
    listeners,
    foreign,
    missing,
    apt,
    cgroup: cgroup2 ? 'v2' : 'v1',
    canLowerOomScoreAdj: linux && canLowerOomScoreAdj(),
    canSetConntrackLimits: conntrack,
    resolvConf: conf,
    swap: (swaps ?? '').trim().split('\n').length > 1,
    ufw: /^ENABLED=yes/m.test(ufw ?? ''),
    iptables: iptables.code === 0 ? (iptables.stdout.includes('nf_tables') ? 'nft' : 'legacy') : undefined,
  };
};
