import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { matches } from '../../lib/engine/leaves.ts';
import { madePath } from '../../lib/host/change.ts';
import { isBelow } from '../../lib/host/remove.ts';
import { type Difference, diffSnapshots, type HostSnapshot, takeSnapshot } from '../../lib/host/snapshot.ts';
import { unloadUnused } from './clean/kernel.ts';
import type { Reset } from './clean/scope.ts';

/** Kinds of things that the kernel removes some time after their last user has ended. */
const settlingKinds: readonly string[] = [
  ...['link', 'address', 'route', 'network namespace', 'listener', 'mount', 'cgroup', 'unit'],
  ...['kernel module', 'kernel parameter', 'nft'],
];

/** Differences, and the modules that stay for the sake of links of others, each with the reason. */
interface Compared {
  readonly found: readonly Difference[];
  readonly keptModules: ReadonlyMap<string, string>;
}

/**
 * Compares the machine with its snapshot; waits up to ten seconds for the differences that may still vanish.
 */
const differences = async (before: HostSnapshot, { plan }: Reset): Promise<Compared> => {
  const end = performance.now() + 10_000;
  for (;;) {
    const found = diffSnapshots(before, await takeSnapshot(before));
    const keptModules = await unloadUnused({ plan, before }); // listing rules loads some, and some were still in use before
    const maySettle = found.some(
      ({ kind, name }) => settlingKinds.includes(kind) && !(kind === 'kernel module' && keptModules.has(name)),
    );
    if (!maySettle || performance.now() > end) return { found, keptModules };
    await sleep(500);
  }
};

/**
 * Returns the command that removes what is new on this machine, where it is ours or a daemon's; undefined for what is
 * somebody else's or has been left to somebody else. A module that is still loaded is in use by others.
 */
export const removalOf = (
  { kind, name, before, after = '' }: Difference,
  { plan, undoer }: Pick<Reset, 'plan' | 'undoer'>,
): string | undefined => {
  const { leaves, entries } = plan;
  const changes = entries.filter(({ undo }) => madePath(undo) === name);
  const made = changes.length > 0 && !changes.some(({ undo }) => undo.kind === 'restore'); // put back, it is theirs
  const inPlace = leaves.paths.some((place) => isBelow(name, place));
  const commands: Readonly<Record<string, readonly [ours: boolean, command: string]>> = {
    file: [(made || inPlace) && !undoer.isKept(name), `rm -r ${name}`],
    link: [matches(leaves.links, name) || leaves.bridges.includes(name), `ip link delete ${name}`],
    mount: [leaves.mounts.some((prefix) => name.startsWith(prefix)), `umount ${name}`],
    'network namespace': [matches(leaves.netns, name), `ip netns delete ${name}`],
    ipset: [matches(leaves.ipsets, name), `ipset destroy ${name}`],
    unit: [plan.stopped.some((one) => name === `${one.name}.service`), `systemctl stop ${name}`],
    cgroup: [name.split('/').some((one) => leaves.cgroups.includes(one)), `rmdir ${name}`],
    'iptables chain': [matches(leaves.chains, name.split(' ').at(-1) ?? ''), name.replace(/^(\S+ -t \S+) /, '$1 -F ')],
  };
  const [ours = false, command] = commands[kind] ?? [];
  const isShared = plan.sharesContainers && /^(file|mount)$/.test(kind) && /\/containerd\b/.test(name);
  return ours && before === undefined && after !== '' && !isShared ? command : undefined;
};

/** Leaves out what is in a folder that is new itself: containerd's data would be thousands of lines. */
const topmost = (all: readonly Difference[]): readonly Difference[] => {
  const isNew = ({ kind, before }: Difference): boolean => kind === 'file' && before === undefined;
  const names = new Set(all.filter(isNew).map(({ name }) => name));
  return all.filter((one) => !isNew(one) || !names.has(dirname(one.name)));
};

/** Compares the machine with its snapshot from before the first change. What of it is ours calls for a second reset. */
export const compare = async (reset: Reset): Promise<void> => {
  const { before, undoer, reportDifference } = reset;
  if (!before || undoer.dryRun) return;
  const { found, keptModules } = await differences(before, reset);
  for (const one of topmost(found)) {
    const command = removalOf(one, reset);
    const reason = one.kind === 'kernel module' ? keptModules.get(one.name) : undefined;
    if (reason !== undefined) undoer.reportKept(`kernel module ${one.name}: ${reason}`);
    else if (command) undoer.reportLeft(`${one.kind} ${one.name}`, `it is of hardway and still here; ${command}`);
    else reportDifference(one);
  }
};
