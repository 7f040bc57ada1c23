import { readFileSync, rmdirSync } from 'node:fs';
import { chmod, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupsNamed, cgroupTree, processesIn } from '../daemons/cgroups.ts';
import { type Gate, removeTree } from '../engine/undo.ts';
import { readIfThere, statIfThere } from '../host/files.ts';
import { paths } from '../host/paths.ts';
import { type Chain, chainsOf, type IptablesProgram, iptablesPrograms } from '../host/picture/firewall.ts';
import { parameterFile } from '../host/picture/kernel.ts';
import { holdersOf, mountTable } from '../host/picture/system.ts';
import type { Picture } from '../host/picture.ts';
import { run, tryRun } from '../host/run.ts';

/** What the removal of leftovers goes by. */
export interface Aftermath {
  readonly gate: Gate;
  /** The machine before the first change; what is in it is never a leftover. Absent where it was lost. */
  readonly before: Picture | undefined;
  /** Whether containerd's data hold containers or images of somebody else: then they stay. */
  readonly shared: boolean;
  /** Whether the kubelet lives on; then its own iptables chains do too. */
  readonly kubeletStays: boolean;
}

const wasThere = (before: Picture | undefined, kind: string, name: string): boolean =>
  before?.sections[kind]?.[name] !== undefined;

// --- processes ---

const commandLineOf = (pid: number): readonly string[] => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
};

/** Ends processes, and those that they start meanwhile, with the signal that none can ignore. */
const end = async (find: () => readonly number[]): Promise<void> => {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const pids = find();
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw new Error(`still there after 10 s: pid ${pids.join(', ')}`);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {} // ended by itself
    }
    await sleep(10);
  }
};

const podCgroups = (): string[] => [...cgroupsNamed('kubepods'), ...cgroupsNamed('kubepods.slice')];

/** The processes of Pods, known by the cgroups that the kubelet made for them. */
const endPods = async ({ gate }: Aftermath): Promise<void> => {
  const find = () => processesIn(podCgroups());
  const count = find().length;
  if (count > 0) await gate.act('processes of Pods ended', `${count} processes`, () => end(find));
};

/** containerd's shims for Kubernetes: in our unit's cgroup, of Kubernetes' namespace. Those of others stay. */
const endShims = async ({ gate }: Aftermath): Promise<void> => {
  const find = () =>
    processesIn(cgroupsNamed('system.slice/containerd.service')).filter((pid) => {
      const words = commandLineOf(pid);
      const namespace = words[words.indexOf('-namespace') + 1];
      return words.includes('-namespace') && namespace === 'k8s.io';
    });
  const count = find().length;
  if (count > 0) await gate.act('shims ended', `${count} processes`, () => end(find));
};

const removeCgroups = async ({ gate }: Aftermath): Promise<void> => {
  const all = podCgroups().flatMap(cgroupTree);
  if (all.length === 0) return;
  await gate.act('cgroups of Pods removed', `${all.length} below kubepods`, async () => {
    // systemd knows those that it made by a name; it would make them again.
    await tryRun('systemctl', ['stop', 'kubepods.slice']);
    for (const cgroup of podCgroups().flatMap(cgroupTree)) rmdirSync(cgroup);
  });
};

// --- mounts, network namespaces, links ---

const mountPlaces = [
  '/var/lib/kubelet/',
  '/var/lib/containerd/',
  '/run/containerd/',
  '/run/calico/',
  '/run/netns/cni-',
];
const mountPoints = ['/sys/fs/bpf'];

const unmount = async ({ gate, before, shared }: Aftermath): Promise<void> => {
  const points = (await mountTable()).map(({ point }) => point).reverse();
  for (const point of points) {
    if (!mountPoints.includes(point) && !mountPlaces.some((place) => point.startsWith(place))) continue;
    if (wasThere(before, 'mount', point)) continue;
    if (shared && point.startsWith('/run/containerd/') && !/\/k8s\.io\/|\.grpc\.v1\.cri\//.test(point)) continue;
    await gate.act('unmounted', point, async () => {
      const { code, stderr } = await tryRun('umount', [point]);
      const isLeft = code !== 0 && (await mountTable()).some((mount) => mount.point === point);
      if (isLeft) throw new Error(`${stderr.trim()}${await holdersOf(point)}`);
    });
  }
};

const removeNamespaces = async ({ gate, before }: Aftermath): Promise<void> => {
  for (const name of await readdir('/run/netns').catch(() => [])) {
    if (!name.startsWith('cni-') || wasThere(before, 'network namespace', name)) continue;
    await gate.act('network namespaces removed', name, () => rm(`/run/netns/${name}`));
  }
};

interface Link {
  readonly ifname: string;
  readonly master?: string;
}

/** Links of the bridge plugin, Calico and kube-proxy; a veth is ours when it hangs on our bridge. */
const isOurLink = ({ ifname, master }: Link): boolean =>
  /^(cni0|cali[0-9a-f]{11}|vxlan\.calico|vxlan-v6\.calico|wireguard\.cali|bpf(in|out)\.cali|kube-ipvs0)$/.test(
    ifname,
  ) ||
  (/^veth/.test(ifname) && master === 'cni0');

const removeLinks = async ({ gate, before }: Aftermath): Promise<void> => {
  const { stdout } = await tryRun('ip', ['-j', 'link', 'show']);
  const links = (stdout.trim() === '' ? [] : JSON.parse(stdout)) as readonly Link[];
  const ours = links.filter((link) => isOurLink(link) && !wasThere(before, 'link', link.ifname));
  // The bridge last: it would only let its veths go.
  for (const { ifname } of ours.sort((a, b) => Number(a.ifname === 'cni0') - Number(b.ifname === 'cni0'))) {
    await gate.act('links removed', ifname, async () => {
      const { code, stderr } = await tryRun('ip', ['link', 'delete', ifname]);
      // Its other end may just have gone with its namespace, and it with that.
      if (code !== 0 && !/Cannot find device/.test(stderr)) throw new Error(stderr.trim());
    });
  }
};

/** Calico throws away what is sent to an address of its pool that no Pod has; it marks its routes as protocol 80. */
const removeRoutes = async ({ gate }: Aftermath): Promise<void> => {
  for (const family of ['-4', '-6']) {
    const { stdout } = await tryRun('ip', [family, '-j', 'route', 'show', 'proto', '80']);
    const routes = (stdout.trim() === '' ? [] : JSON.parse(stdout)) as readonly { type?: string; dst: string }[];
    for (const { type = 'unicast', dst } of routes) {
      await gate.act('routes removed', `${type} ${dst}`, () =>
        run('ip', [family, 'route', 'delete', type, dst, 'proto', '80']),
      );
    }
  }
};

// --- rules ---

const kubeletChains = ['KUBE-KUBELET-CANARY', 'KUBE-FIREWALL', 'KUBE-IPTABLES-HINT'];

/** What takes our chains out of a table and nothing else, as lines for iptables-restore --noflush. */
export const removalOf = (chains: readonly Chain[], isOurs: (chain: Chain) => boolean): readonly string[] => {
  const tables = [...new Set(chains.map(({ table }) => table))];
  return tables.flatMap((table) => {
    const here = chains.filter((chain) => chain.table === table);
    const ours = new Set(here.filter(isOurs).map(({ name }) => name));
    const rules = here
      .filter(({ name }) => !ours.has(name))
      .flatMap((chain) => chain.rules)
      .filter((rule) => {
        const target = / (?:-j|-g) (\S+)/.exec(rule.replaceAll(/"(\\.|[^"\\])*"/g, '""'))?.[1];
        return (target !== undefined && ours.has(target)) || / --comment "cali:[^"]{16}"/.test(rule);
      });
    if (ours.size === 0 && rules.length === 0) return [];
    return [
      `*${table}`,
      ...rules.map((rule) => rule.replace(/^-A/, '-D')),
      ...[...ours].map((name) => `-F ${name}`),
      ...[...ours].map((name) => `-X ${name}`),
      'COMMIT',
    ];
  });
};

const removeRulesOf = async (program: IptablesProgram, { gate, before, kubeletStays }: Aftermath): Promise<void> => {
  const isOurs = ({ table, name, policy }: Chain): boolean =>
    policy === '-' &&
    /^(KUBE-|cali-|CNI-)/.test(name) &&
    !wasThere(before, 'iptables chain', `${program} -t ${table} ${name}`) &&
    !(kubeletStays && kubeletChains.includes(name));
  const lines = removalOf(await chainsOf(program), isOurs);
  if (lines.length === 0) return;
  const count = lines.filter((line) => /^-[DX] /.test(line)).length;
  // One by one, but in one call: with --noflush it does what the lines say and touches no other rule.
  await gate.act('rules and chains removed', `${program}: ${count}`, () =>
    run(`${program}-restore`, ['--noflush'], { input: `${lines.join('\n')}\n` }),
  );
};

const removeRules = async (aftermath: Aftermath): Promise<void> => {
  for (const program of iptablesPrograms) await removeRulesOf(program, aftermath);
};

/** Tables of nft that iptables made when it was first asked, once nothing is left in them. */
const removeEmptyTables = async ({ gate, before }: Aftermath): Promise<void> => {
  if (gate.dryRun) return; // nothing is empty yet
  const { stdout } = await tryRun('nft', ['list', 'tables']);
  const tables = stdout.split('\n').map((line) => /^table (ip6?) (raw|mangle|nat|filter|security)$/.exec(line));
  for (const match of tables) {
    const [name, family, table] = match ?? [];
    if (!name || wasThere(before, 'nft', name)) continue;
    const program = family === 'ip6' ? 'ip6tables-nft' : 'iptables-nft';
    const chains = (await chainsOf(program)).filter((chain) => chain.table === table);
    if (chains.some(({ policy, rules }) => policy !== 'ACCEPT' || rules.length > 0)) continue;
    await gate.act('empty nft tables removed', name, () => run('nft', ['delete', 'table', family ?? '', table ?? '']));
  }
};

const removeIpsets = async ({ gate, before }: Aftermath): Promise<void> => {
  const { stdout } = await tryRun('ipset', ['list', '-name']);
  for (const name of stdout.split('\n')) {
    if (!/^(cali[46]0|KUBE-)/.test(name) || wasThere(before, 'ipset', name)) continue;
    await gate.act('ipsets removed', name, () => run('ipset', ['destroy', name]));
  }
};

// --- files ---

/** Folders and files that the daemons make by themselves, by the step with which they go. */
const made: Readonly<Record<string, readonly string[]>> = {
  kubelet: ['/var/lib/kubelet', '/var/log/pods', '/var/log/containers'],
  network: [
    '/etc/cni/net.d/10-calico.conflist',
    '/etc/cni/net.d/calico-kubeconfig',
    '/var/lib/cni',
    '/var/lib/calico',
    '/var/log/calico',
    '/run/calico',
  ],
  containerd: ['/var/lib/containerd', '/run/containerd', '/run/nri', '/opt/containerd'],
};

/** Removes a path; of a mount point, or a folder that was there before, only what is in it. */
const removePath = async (path: string, { gate, before, shared }: Aftermath): Promise<void> => {
  const stat = await statIfThere(path);
  if (!stat) return;
  if (shared && /\/containerd$/.test(path)) return gate.keep(`${path}: containers or images of others are in it`);
  const stays = wasThere(before, 'file', path) || (await mountTable()).some(({ point }) => point === path);
  if (!stays) return gate.act('folders of daemons removed', path, () => removeTree(path));
  if (!stat.isDirectory()) return;
  const inside = (await readdir(path)).filter((name) => !wasThere(before, 'file', `${path}/${name}`));
  if (inside.length > 0)
    await gate.act('folders of daemons removed', `what is in ${path}`, async () => {
      for (const name of inside) await removeTree(`${path}/${name}`);
    });
  if (!gate.dryRun) await restoreMode(path, before);
};

/** containerd takes rights off the folder that it is given. */
const restoreMode = async (path: string, before: Picture | undefined): Promise<void> => {
  const mode = /^folder ([0-7]+) /.exec(before?.sections['file']?.[path] ?? '')?.[1];
  if (mode) await chmod(path, Number.parseInt(mode, 8));
};

/** kubectl remembers API servers in the home of whoever called it. */
const removeKubectlCaches = async ({ gate, before }: Aftermath): Promise<void> => {
  for (const home of before?.homes ?? ['/root']) {
    const cache = `${home}/.kube/cache`;
    if (wasThere(before, 'file', cache) || !(await statIfThere(cache))) continue;
    await gate.act('folders of daemons removed', cache, () => removeTree(cache));
  }
};

/** The folder in which named network namespaces are; it is a mount of itself once one was made. */
const removeNetnsFolder = async ({ gate, before }: Aftermath): Promise<void> => {
  if (gate.dryRun || wasThere(before, 'file', '/run/netns')) return;
  if ((await readdir('/run/netns').catch(() => ['none'])).length > 0) return;
  if ((await mountTable()).some(({ point }) => point === '/run/netns')) await run('umount', ['/run/netns']);
  await rmdir('/run/netns');
};

// --- all of it ---

type Removal = (aftermath: Aftermath) => Promise<void>;
const eachMade =
  (step: string): Removal =>
  async (aftermath) => {
    for (const path of made[step] ?? []) await removePath(path, aftermath);
  };

/** What the daemons of a step leave, in the order in which it can be removed. */
const removals: readonly (readonly [step: string, Removal])[] = [
  ['kubelet', endPods],
  ['containerd', endPods],
  ['containerd', endShims],
  ['kubelet', unmount],
  ['containerd', unmount],
  ['network', removeNamespaces],
  ['containerd', removeNamespaces],
  ['network', removeLinks],
  ['network', removeRoutes],
  ['kube-proxy', removeRules],
  ['network', removeRules],
  ['kubelet', removeRules],
  ['kube-proxy', removeEmptyTables],
  ['kubelet', removeEmptyTables],
  ['network', removeIpsets],
  ['kube-proxy', removeIpsets],
  ['kubelet', removeCgroups],
  ['containerd', removeCgroups],
  ['kubelet', eachMade('kubelet')],
  ['network', eachMade('network')],
  ['containerd', eachMade('containerd')],
  ['containerd', removeNetnsFolder],
  ['kubeconfigs', removeKubectlCaches],
];

/** Removes what the daemons of these steps made while they ran. The daemons must have been stopped. */
export const removeLeftovers = async (undone: readonly string[], aftermath: Aftermath): Promise<void> => {
  const done = new Set<Removal>();
  for (const [step, removal] of removals) {
    if (!undone.includes(step) || done.has(removal)) continue;
    done.add(removal);
    await removal(aftermath);
  }
};

/** Sets kernel parameters back that the daemons changed; forwarding first, as it changes others with it. */
export const restoreParameters = async ({ gate, before }: Aftermath): Promise<void> => {
  const former = Object.entries(before?.sections['kernel parameter'] ?? {});
  const first = former.filter(([name]) => /ip_forward$|\.forwarding$/.test(name));
  for (const [name, value] of [...first, ...former.filter((entry) => !first.includes(entry))]) {
    const now = (await readIfThere(parameterFile(name)))?.trim().replaceAll('\t', ' ');
    if (now === undefined || now === value) continue;
    await gate.act('settings back', `sysctl -w ${name}=${value}`, () => writeFile(parameterFile(name), value));
  }
};

/** Kernel modules that containers, their networks and rules bring; others that came since are somebody else's. */
const ourModules =
  /^(overlay|veth|bridge|br_netfilter|stp|llc|vxlan|ip6?_udp_tunnel|udp_tunnel|ipip|tunnel4|ip_tunnel|dummy|nf_|nft_|nfnetlink|xt_|x_tables|ip6?t_|ip_set|ip6?_tables|ip_vs|nfnetlink_acct)/;

/** Unloads modules that were not loaded before, as long as one of them is unused: each may set others free. */
export const unloadModules = async ({ gate, before }: Aftermath): Promise<void> => {
  const loaded = before?.sections['kernel module'];
  if (!loaded || Object.keys(loaded).length === 0 || gate.dryRun) return; // a container's kernel is not its own
  const stubborn = new Set<string>();
  for (;;) {
    const lines = ((await readIfThere('/proc/modules')) ?? '').split('\n').map((line) => line.split(' '));
    const unused = lines.find(
      ([name = '', , uses]) => uses === '0' && !(name in loaded) && ourModules.test(name) && !stubborn.has(name),
    )?.[0];
    if (!unused) return;
    stubborn.add(unused);
    await tryRun('rmmod', [unused]);
  }
};

// --- with a containerd that answers ---

const ctr = (...args: readonly string[]) =>
  tryRun(`${paths.bin}/ctr`, ['--address', '/run/containerd/containerd.sock', '--timeout', '5s', ...args], {
    timeout: 30_000,
  });
const words = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '');

/** Namespaces of containerd with a container or an image in them that are not Kubernetes'. */
export const foreignNamespaces = async (): Promise<readonly string[]> => {
  if (!(await statIfThere('/run/containerd/containerd.sock'))) return [];
  const { stdout, code } = await ctr('namespaces', 'list', '--quiet');
  if (code !== 0) return [];
  const others = words(stdout).filter((name) => name !== 'k8s.io');
  const used = await Promise.all(
    others.map(async (name) => {
      const lists = await Promise.all(['containers', 'images'].map((kind) => ctr('-n', name, kind, 'list', '--quiet')));
      return lists.some(({ stdout: list }) => words(list).length > 0) ? [name] : [];
    }),
  );
  return used.flat();
};

/** Removes all Pods' containers through the CRI, for a containerd that lives on. */
export const removePods = async (gate: Gate): Promise<void> => {
  if (!(await statIfThere('/run/containerd/containerd.sock'))) return;
  const crictl = (...args: readonly string[]) =>
    tryRun(`${paths.bin}/crictl`, ['-r', 'unix:///run/containerd/containerd.sock', '-t', '20s', ...args]);
  const pods = words((await crictl('pods', '--quiet')).stdout);
  if (pods.length === 0) return;
  await gate.act('Pods removed', `${pods.length} Pods`, async () => {
    await crictl('rmp', '--all', '--force');
    const left = words((await crictl('pods', '--quiet')).stdout);
    if (left.length > 0) throw new Error(`containerd still has ${left.length} of them`);
  });
};

/** Takes Kubernetes' part out of containerd's data, where the rest is somebody else's. */
export const removeKubernetesNamespace = async (gate: Gate): Promise<void> =>
  gate.act('Kubernetes taken out of containerd', 'namespace k8s.io', async () => {
    for (const kind of ['containers', 'images', 'leases']) {
      const names = words((await ctr('-n', 'k8s.io', kind, 'list', '--quiet')).stdout);
      const sync = kind === 'containers' ? [] : ['--sync'];
      if (names.length > 0) await ctr('-n', 'k8s.io', kind, 'delete', ...sync, ...names);
    }
    const snapshots = words((await ctr('-n', 'k8s.io', 'snapshots', 'list')).stdout).slice(1);
    for (const line of snapshots.reverse()) await ctr('-n', 'k8s.io', 'snapshots', 'delete', line.split(/\s/)[0] ?? '');
    const { code, stderr } = await ctr('namespaces', 'remove', 'k8s.io');
    if (code !== 0) throw new Error(stderr.trim());
  });
