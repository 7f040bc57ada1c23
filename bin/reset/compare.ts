import { setTimeout as sleep } from 'node:timers/promises';
import { type Difference, diffSnapshots, type HostSnapshot, takeSnapshot } from '../../lib/host/snapshot.ts';
import { unloadUnused } from './clean/kernel.ts';
import type { Reset } from './clean/scope.ts';

/** Kinds of things that the kernel removes some time after their last user has ended. */
const settlingKinds: readonly string[] = [
  ...['link', 'address', 'route', 'network namespace', 'listener', 'mount', 'cgroup', 'unit'],
  ...['kernel module', 'kernel parameter', 'nft'],
];

/**
 * Compares the machine with its snapshot and returns the differences; waits up to ten seconds for those that may still
 * vanish.
 */
const differences = async (before: HostSnapshot, { plan }: Reset): Promise<readonly Difference[]> => {
  const end = performance.now() + 10_000;
  for (;;) {
    const found = diffSnapshots(before, await takeSnapshot(before.homes));
    await unloadUnused({ plan, before }); // listing rules loads some, and some were still in use before
    if (!found.some(({ kind }) => settlingKinds.includes(kind)) || performance.now() > end) return found;
    await sleep(500);
  }
};

/** Compares the machine with its snapshot from before the first change. */
export const compare = async (reset: Reset): Promise<void> => {
  const { before, undoer, reportDifference } = reset;
  if (!before || undoer.dryRun) return;
  for (const one of await differences(before, reset)) reportDifference(one);
};
