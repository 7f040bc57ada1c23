import { isMountPoint, mountTable } from '../../../lib/host/mounts.ts';
import { processesUsing } from '../../../lib/host/proc.ts';
import { tryRun } from '../../../lib/host/run.ts';
import { isOfOtherContainers } from './containerd.ts';
import { type Reset, wasThere } from './scope.ts';

/** Unmounts what daemons mounted, the innermost first. */
export const unmount = async ({ undoer, before, plan }: Reset): Promise<void> => {
  const points = mountTable()
    .map(({ point }) => point)
    .reverse();
  for (const point of points) {
    if (!plan.leaves.mounts.some((place) => point.startsWith(place)) || wasThere(before, 'mount', point)) continue;
    if (plan.sharesContainers && isOfOtherContainers(point)) continue;
    await undoer.apply(point, async () => {
      const { code, stderr } = await tryRun('umount', [point]);
      const isLeft = code !== 0 && isMountPoint(point);
      if (isLeft) throw new Error(`${stderr.trim()}${processesUsing(point)}`);
    });
  }
};
