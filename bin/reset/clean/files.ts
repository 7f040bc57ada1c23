import type { Stats } from 'node:fs';
import { chmod, readdir, rmdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { inFolderOf, removeInHome } from '../../../lib/host/anchor.ts';
import { removeAbandoned, statIfThere } from '../../../lib/host/files.ts';
import { isMountPoint, mountTable } from '../../../lib/host/mounts.ts';
import { paths } from '../../../lib/host/paths.ts';
import { homesHere } from '../../../lib/host/person.ts';
import { goingIn, realPath, removeTree } from '../../../lib/host/remove.ts';
import { folderMode } from '../../../lib/host/snapshot/files.ts';
import { bootId } from '../../../lib/host/snapshot/identity.ts';
import type { HostSnapshot } from '../../../lib/host/snapshot.ts';
import { isTheOne, type Reset, wasThere } from './scope.ts';

/** Removes the files and folders that daemons made, but nothing in them that is not theirs. */
export const removeMade = async (scope: Reset): Promise<void> => {
  for (const path of scope.plan.leaves.paths) await scope.undoer.attempt(path, () => removePlace(path, scope));
};

/** Tells whether the snapshot has looked into a folder: that of hardway 0.1 did not look into every one. */
const isCovered = (place: string, { before }: Reset): boolean => {
  if (before?.places) return before.places.includes(place);
  const isLink = /^link /.test(before?.sections['file']?.[place] ?? '');
  return !isLink && !isMountPoint(place) && !/^\/(var\/log|run\/containerd)\b/.test(place);
};

/**
 * Tells of a path in a place whether it stays: it was there before the first change, a stage has kept it, or something
 * in it is kept. In a folder that the snapshot has not looked into, and where there is no snapshot, what is older than
 * the lab was there before.
 */
const staysIn = (place: string, real: string, scope: Reset): ((path: string, stat: Stats) => boolean) => {
  const { before, undoer, plan } = scope;
  const covered = isCovered(place, scope);
  return (path, stat) => {
    if (path === place && (isMountPoint(real) || (!before && stat.isSymbolicLink()))) return true;
    if (wasThere(before, 'file', path) || undoer.isKept(path) || undoer.holdsKept(path)) return true;
    return (!before || (!covered && wasThere(before, 'file', place))) && stat.birthtimeMs < (plan.begun ?? 0);
  };
};

/**
 * Removes a place that a daemon fills: a file, or a folder with what is in it. A mount point, a link or folder that was
 * there before, and what was in it then, stay.
 */
export const removePlace = async (place: string, scope: Reset): Promise<void> => {
  const { undoer, before, plan } = scope;
  if (!(await statIfThere(place)) || undoer.isKept(place)) return;
  if (plan.sharesContainers && plan.leaves.shared.includes(place))
    return undoer.reportKept(`${place}: containers or images of others are in it`, place);
  const going = await goingIn(place, staysIn(place, await realPath(place), scope));
  if (going.length === 0) return;
  await undoer.apply(going[0] === place ? place : `what is in ${place}`, async () => {
    await mustBeMountedAsBefore(place, before);
    for (const path of going) await removeTree(path);
    await restoreMode(place, before);
  });
};

/** Throws where a file system was mounted at a place since the first change: what is in it is not known. */
const mustBeMountedAsBefore = async (place: string, before: HostSnapshot | undefined): Promise<void> => {
  const real = await realPath(place);
  const mount = mountTable().findLast(({ point }) => point === real);
  if (!before || !mount || isTheOne(before, await bootId(), 'mount', [real, mount.id])) return;
  throw new Error(`${mount.source} was mounted there since: umount ${real}`);
};

/** Restores the mode of a folder that the snapshot has: containerd removes rights from the folder that it is given. */
const restoreMode = async (path: string, before: HostSnapshot | undefined): Promise<void> => {
  const mode = folderMode(before?.sections['file']?.[path]);
  if (mode !== undefined && (await statIfThere(path))?.isDirectory()) await chmod(path, mode);
};

/** Removes the folders of daemons in the homes of people, and the folder around them if nothing else is in it. */
export const removeHomeFolders = async ({ undoer, before, plan }: Reset): Promise<void> => {
  const places = (before?.homes ?? (await homesHere())).flatMap((home) =>
    plan.leaves.homes.map((name) => `${home}/${name}`),
  );
  for (const path of places) {
    if ((await statIfThere(dirname(path)))?.isSymbolicLink()) continue; // somebody's folder elsewhere
    if (!wasThere(before, 'file', path) && (await statIfThere(path)))
      await undoer.apply(path, () => removeInHome(path));
    const around = dirname(path);
    // A folder with a file of ours is undone from the ledger.
    if (!wasThere(before, 'file', around) && (await readdir(around).catch(() => ['none'])).length === 0)
      await undoer.apply(around, () => inFolderOf(around, rmdir));
  }
};

/** Removes the files of runs that were killed while they took the lock. */
export const removeStaleLocks = async ({ undoer }: Reset): Promise<void> => {
  if (!undoer.dryRun) await removeAbandoned(`${paths.lock}.`);
};

/** Names in the lab's own folder that are ours: it may be a disk that has more in it. */
const ownNames = Object.values(paths).flatMap((path) => (dirname(path) === paths.root ? [basename(path)] : []));

/** Tells whether a name is one of those, or that of a file that was prepared beside it (temporaryOf in lib/host/files.ts). */
const isOwnName = (name: string): boolean => ownNames.includes(name.replace(/\.hardway-\d+(-[0-9a-f]+)?$/, ''));

/**
 * Removes the lab's own folder. The ledger goes when all else is gone but the copies of replaced files: an entry whose
 * copy were missing could not be taken back. A mount point or a link at its place stays.
 */
export const removeRoot = async ({ undoer, failures, remaining, before }: Reset): Promise<void> => {
  if (failures.length + remaining.length > 0) return undoer.reportKept(`${paths.root}: a second reset needs it`);
  const names = await readdir(paths.root).catch((): string[] => []);
  const others = names.filter((name) => !isOwnName(name) && name !== 'lost+found');
  const last: readonly string[] = [paths.ledger, paths.before, paths.snapshot];
  const first = names.map((name) => `${paths.root}/${name}`).filter((path) => !last.includes(path));
  for (const name of others) undoer.reportKept(`${paths.root}/${name} is not ours`, `${paths.root}/${name}`);
  await undoer.apply(paths.root, async () => {
    for (const path of [...first, ...last]) {
      if (!undoer.isKept(path) && basename(path) !== 'lost+found') await removeTree(path);
    }
    const isFolder = (await statIfThere(paths.root))?.isDirectory() ?? false;
    if (others.length === 0 && isFolder && !isMountPoint(paths.root) && !wasThere(before, 'file', paths.root))
      await rmdir(paths.root);
  });
};
