import { readIfThere } from '../../../lib/host/files.ts';
import { tryRun } from '../../../lib/host/run.ts';
import { readSysctl, writeSysctl } from '../../../lib/host/sysctl.ts';
import type { ResetPlan } from '../plan.ts';
import { matches, type Reset, wasThere } from './scope.ts';

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

/** Lists the loaded modules with the number of their users (/proc/modules, third field). */
const loadedModules = async (): Promise<readonly { readonly name: string; readonly users: number }[]> =>
  ((await readIfThere('/proc/modules')) ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = '', , users] = line.split(' ');
      return { name, users: Number(users) };
    });

/** Unloads the modules that came with the lab, until none of them is unused: each may free others. */
export const unloadUnused = async ({ plan, before }: Pick<Reset, 'plan' | 'before'>): Promise<void> => {
  const isOurs = isOurModule(plan, before);
  const tried = new Set<string>();
  for (;;) {
    const next = (await loadedModules()).find(({ name, users }) => users === 0 && isOurs(name) && !tried.has(name));
    if (!next) return;
    tried.add(next.name);
    await tryRun('rmmod', [next.name]); // one that is used again by now stays, and the comparison names it
  }
};

/** Unloads the modules that came with the lab. */
export const unloadModules = async ({ undoer, plan, before }: Reset): Promise<void> => {
  const names = (await loadedModules()).map(({ name }) => name).filter(isOurModule(plan, before));
  if (names.length > 0) await undoer.apply(names.join(', '), () => unloadUnused({ plan, before }));
};
