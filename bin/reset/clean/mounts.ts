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
  for (const { point, id } of mountTable().toReversed()) {
    if (!isOurs(point) || isTheOne(before, boot, 'mount', [point, id])) continue;
    if (plan.sharesContainers && isOfOtherContainers(point)) continue;
    await undoer.apply(point, async () => {
      const { code, stderr } = await tryRun('umount', [point]);
      const isLeft = code !== 0 && mountTable().some((mount) => mount.id === id);
      if (isLeft) throw new Error(`${stderr.trim()}${processesUsing(point)}`);
    });
  }
};
