import { basename, dirname } from 'node:path';
import { matches } from '../../../lib/engine/leaves.ts';
import { mountTable } from '../../../lib/host/mounts.ts';
import { processesUsing } from '../../../lib/host/proc.ts';
import { realPath } from '../../../lib/host/remove.ts';
import { tryRun } from '../../../lib/host/run.ts';
import { bootId } from '../../../lib/host/snapshot/identity.ts';
import { isOfOtherContainers } from './containerd.ts';
import { netnsFolder } from './network.ts';
import { isTheOne, type Reset } from './scope.ts';

/** Returns a prefix of mount points as the kernel lists them: behind the links on the way to it. */
const realPrefix = async (prefix: string): Promise<string> =>
  prefix.endsWith('/')
    ? `${await realPath(prefix.slice(0, -1))}/`
    : `${await realPath(dirname(prefix))}/${basename(prefix)}`;

/** Unmounts what daemons mounted, the innermost first. */
export const unmount = async ({ undoer, before, plan }: Reset): Promise<void> => {
  const prefixes = await Promise.all(plan.leaves.mounts.map(realPrefix));
  const boot = await bootId();
  /** A network namespace is a mount of its name. */
  const isNamespace = (point: string): boolean =>
    dirname(point) === netnsFolder && matches(plan.leaves.netns, basename(point));
  const isOurs = (point: string): boolean => isNamespace(point) || prefixes.some((place) => point.startsWith(place));
  const going = mountTable()
    .toReversed()
    .filter(({ point, id }) => isOurs(point) && !isTheOne(before, boot, 'mount', [point, id]))
    .filter(({ point }) => !plan.sharesContainers || !isOfOtherContainers(point));
  const points = going.map(({ point }) => point);
  // One command for all: each Pod has five, and to start a command takes longer than to unmount.
  await undoer.applyAll(points, async () => {
    const { stderr } = await tryRun('umount', points);
    const left = new Set(mountTable().map(({ id }) => id));
    for (const { point } of going.filter(({ id }) => left.has(id))) {
      const reason = stderr.split('\n').find((line) => line.includes(`${point}:`)) ?? stderr.trim();
      undoer.reportLeft(point, `${reason}${processesUsing(point)}`);
    }
  });
};
