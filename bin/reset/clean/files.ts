import { chmod, readdir, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { removeTree } from '../../../lib/engine/gate.ts';
import { removeAbandoned, statIfThere } from '../../../lib/host/files.ts';
import { isMountPoint } from '../../../lib/host/mounts.ts';
import { paths } from '../../../lib/host/paths.ts';
import { folderMode } from '../../../lib/host/snapshot/files.ts';
import type { HostSnapshot } from '../../../lib/host/snapshot.ts';
import { type Reset, wasThere } from './scope.ts';

/**
 * Removes the files and folders that daemons made; of a mount point, or of a folder that the snapshot has, only the
 * content that is new.
 */
export const removeMade = async (scope: Reset): Promise<void> => {
  for (const path of scope.plan.leaves.paths) await removePath(path, scope);
};

const removePath = async (path: string, { undoer, before, plan }: Reset): Promise<void> => {
  const stat = await statIfThere(path);
  if (!stat) return;
  if (plan.sharesContainers && plan.leaves.shared.includes(path))
    return undoer.reportKept(`${path}: containers or images of others are in it`);
  const stays = wasThere(before, 'file', path) || isMountPoint(path);
  if (!stays) return undoer.apply(path, () => removeTree(path));
  if (!stat.isDirectory()) return;
  const inside = (await readdir(path)).filter((name) => !wasThere(before, 'file', `${path}/${name}`));
  if (inside.length === 0) return;
  await undoer.apply(`what is in ${path}`, async () => {
    for (const name of inside) await removeTree(`${path}/${name}`);
    await restoreMode(path, before);
  });
};

/** Restores the mode of a folder that the snapshot has: containerd removes rights from the folder that it is given. */
const restoreMode = async (path: string, before: HostSnapshot | undefined): Promise<void> => {
  const mode = folderMode(before?.sections['file']?.[path]);
  if (mode !== undefined) await chmod(path, mode);
};

/** Removes the folders of daemons in the homes of people, and the folder around them if nothing else is in it. */
export const removeHomeFolders = async ({ undoer, before, plan }: Reset): Promise<void> => {
  const places = (before?.homes ?? ['/root']).flatMap((home) => plan.leaves.homes.map((name) => `${home}/${name}`));
  for (const path of places) {
    if (!wasThere(before, 'file', path) && (await statIfThere(path))) await undoer.apply(path, () => removeTree(path));
    const around = dirname(path);
    // A folder with a file of ours is undone from the ledger.
    if (!wasThere(before, 'file', around) && (await readdir(around).catch(() => ['none'])).length === 0)
      await undoer.apply(around, () => rmdir(around));
  }
};

/** Removes the files of runs that were killed while they took the lock. */
export const removeStaleLocks = async ({ undoer }: Reset): Promise<void> => {
  if (!undoer.dryRun) await removeAbandoned(`${paths.lock}.`);
};

/** Removes the lab's own folder; last the files that a second reset would need. */
export const removeRoot = async ({ undoer, failures }: Reset): Promise<void> => {
  if (failures.length > 0) return undoer.reportKept(`${paths.root}: a second reset needs it`);
  await undoer.apply(paths.root, async () => {
    const last: readonly string[] = [paths.snapshot, paths.ledger];
    for (const name of await readdir(paths.root)) {
      if (!last.includes(`${paths.root}/${name}`)) await removeTree(`${paths.root}/${name}`);
    }
    await removeTree(paths.root);
  });
};
