import { reasonOf } from '../../../lib/engine/errors.ts';
import { matches } from '../../../lib/engine/leaves.ts';
import { readIfThere } from '../../../lib/host/files.ts';
import { linksOfKind, otherNetworkNamespaces } from '../../../lib/host/net.ts';
import { tryRun } from '../../../lib/host/run.ts';
import { readSysctl, writeSysctl } from '../../../lib/host/sysctl.ts';
import type { ResetPlan } from '../plan.ts';
import { type Reset, wasThere } from './scope.ts';

/** Restores kernel parameters that the daemons changed; forwarding first, because it changes others. */
export const restoreParameters = async ({ undoer, before }: Reset): Promise<void> => {
  const former = Object.entries(before?.sections['kernel parameter'] ?? {});
  const first = former.filter(([name]) => /ip_forward$|\.forwarding$/.test(name));
  for (const [name, value] of [...first, ...former.filter((entry) => !first.includes(entry))]) {
    const now = readSysctl(name);
    if (now === undefined || now === value) continue;
    await undoer.apply(`sysctl -w ${name}=${value}`, async () => writeSysctl(name, value));
  }
};

/** Kernel modules that containers, their networks and rules load, and our looks; others belong to somebody else. */
const broughtByUse = [
  /^(overlay|veth|bridge|br_netfilter|stp|llc|vxlan|ip6?_udp_tunnel|udp_tunnel|ipip|tunnel4|ip_tunnel|dummy)/,
  /^(nf_|nft_|nfnetlink|xt_|x_tables|ip6?t_|ip_set|ip6?_tables|ip_vs|nfnetlink_acct)/,
  /^(libcrc32c|crc32c_generic)$/, // connection tracking needs it
  /^(tcp|udp|raw|inet|unix|netlink|af_packet|mptcp|sctp|dccp|vsock)_diag$/, // ss loads these
];

/**
 * Tells whether a module came with the lab: we loaded it, or it was not loaded before and is of a kind that containers
 * load.
 */
export const isOurModule =
  ({ entries }: Pick<ResetPlan, 'entries'>, before: Reset['before']) =>
  (name: string): boolean => {
    if (entries.some(({ undo }) => undo.kind === 'module' && undo.name === name)) return true;
    const known = Object.keys(before?.sections['kernel module'] ?? {}).length > 0; // a container's kernel is not its own
    return known && matches(broughtByUse, name) && !wasThere(before, 'kernel module', name);
  };

interface LoadedModule {
  readonly name: string;
  /** Number of its users. */
  readonly users: number;
  /** Modules among them. */
  readonly usedBy: readonly string[];
}

/** Lists the loaded modules (/proc/modules: name, size, number of users, the modules among them). */
const loadedModules = async (): Promise<readonly LoadedModule[]> =>
  ((await readIfThere('/proc/modules')) ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = '', , users, usedBy = ''] = line.split(' ');
      return { name, users: Number(users), usedBy: usedBy.split(',') };
    });

/** Modules named after the kind of link that they make. The kernel does not count the links as users of the module. */
const linkModules = ['bridge', 'dummy', 'ipip', 'veth', 'vxlan'];

/** Returns the link for which a module stays: rmmod would delete it. Undefined where the module may go. */
const linkInTheWay = async (module: string): Promise<string | undefined> => {
  if (!linkModules.includes(module)) return undefined;
  try {
    const [here] = await linksOfKind(module);
    if (here !== undefined) return `link ${here} is of its kind`;
    for (const namespace of otherNetworkNamespaces()) {
      if ((await linksOfKind(module, namespace)).length > 0) return 'another network namespace uses links of it';
    }
    return undefined;
  } catch (error) {
    return `the links of its kind cannot be listed: ${reasonOf(error)}`;
  }
};

/** Adds the modules that those which stay use, with the reason. */
const withUsed = (kept: ReadonlyMap<string, string>, modules: readonly LoadedModule[]): ReadonlyMap<string, string> => {
  for (const { name, usedBy } of modules) {
    const user = usedBy.find((one) => kept.has(one));
    if (user !== undefined && !kept.has(name))
      return withUsed(new Map([...kept, [name, `module ${user} uses it`]]), modules);
  }
  return kept;
};

/**
 * Unloads the modules that came with the lab, until none of them is unused: each may free others. Returns those that
 * stay for the sake of links of others, each with the reason.
 */
export const unloadUnused = async ({
  plan,
  before,
}: Pick<Reset, 'plan' | 'before'>): Promise<ReadonlyMap<string, string>> => {
  const isOurs = isOurModule(plan, before);
  const tried = new Set<string>();
  const kept = new Map<string, string>();
  for (;;) {
    const modules = await loadedModules();
    const next = modules.find(({ name, users }) => users === 0 && isOurs(name) && !tried.has(name));
    if (!next) return withUsed(kept, modules);
    tried.add(next.name);
    const link = await linkInTheWay(next.name);
    if (link !== undefined) kept.set(next.name, link);
    else await tryRun('rmmod', [next.name]); // one that is used again by now stays, and the comparison names it
  }
};

/** Unloads the modules that came with the lab. */
export const unloadModules = async ({ undoer, plan, before }: Reset): Promise<void> => {
  const names = (await loadedModules()).map(({ name }) => name).filter(isOurModule(plan, before));
  if (names.length > 0) await undoer.apply(names.join(', '), () => unloadUnused({ plan, before }));
};
