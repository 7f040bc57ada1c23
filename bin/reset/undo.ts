import { copyFileSync, lstatSync, readlinkSync, symlinkSync } from 'node:fs';
import { chmod, chown, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { removeTree, type Undoer } from '../../lib/engine/gate.ts';
import type { LedgerEntry } from '../../lib/engine/ledger.ts';
import { readIfThere, removeTemporaries, sha256, statIfThere } from '../../lib/host/files.ts';
import type { Undo } from '../../lib/host/host.ts';
import { paths } from '../../lib/host/paths.ts';
import { quoted, runShown } from '../../lib/host/run.ts';

/** Folders where people keep files of their own: one that we made is removed only when it is empty. */
const isSharedDirectory = (path: string): boolean => /^\/(etc|home|root|usr)\//.test(path);

/** Copies a file or a link with its mode and owner. */
const restoreFile = async (from: string, to: string): Promise<void> => {
  const stat = lstatSync(from);
  await rm(to, { force: true });
  if (stat.isSymbolicLink()) return symlinkSync(readlinkSync(from), to);
  copyFileSync(from, to);
  await chown(to, stat.uid, stat.gid);
  await chmod(to, stat.mode & 0o7777);
};

/** Whether two files hold the same, or two links lead to the same. */
const sameFile = async (one: string, other: string): Promise<boolean> => {
  const stats = await Promise.all([one, other].map(statIfThere));
  if (stats.every((found) => found?.isSymbolicLink())) return readlinkSync(one) === readlinkSync(other);
  if (!stats.every((found) => found?.isFile())) return false;
  const [a, b] = await Promise.all([readIfThere(one), readIfThere(other)]);
  return a !== undefined && a === b;
};

/** Entries that no longer need an own undo: only the first entry of a path knows what was there before all of ours. */
const firstOfEach = (entries: readonly LedgerEntry[]): readonly LedgerEntry[] => {
  const seen = new Set<string>();
  return entries.filter(({ undo }) => {
    const name = 'path' in undo ? undo.path : JSON.stringify(undo.argv);
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  });
};

const inWords = (undo: Undo): string => {
  switch (undo.kind) {
    case 'remove':
      return `remove ${undo.path}`;
    case 'remove-tree':
      return `remove folder ${undo.path}`;
    case 'restore':
      return `put back ${undo.path}`;
    case 'run':
      return quoted(undo.argv);
  }
};

/**
 * Takes changes back, the last one first. Each undo does nothing where it was done already, so that an interrupted
 * reset is run again without harm. A file that somebody changed since we wrote it is kept beside, and named.
 */
export const undoEntries = async (
  entries: readonly LedgerEntry[],
  { gate, isOurs }: { gate: Undoer; isOurs: (undo: Undo) => boolean },
): Promise<void> => {
  const checksums = new Map<string, Set<string>>();
  for (const { undo } of entries) {
    if ('sha256' in undo && undo.sha256)
      checksums.set(undo.path, (checksums.get(undo.path) ?? new Set()).add(undo.sha256));
  }

  /** Moves a file aside that holds what none of our writes put there. */
  const saveModifiedFile = async (path: string): Promise<void> => {
    const ours = checksums.get(path);
    if (!ours || !(await statIfThere(path))?.isFile() || ours.has(sha256(await readFile(path)))) return;
    gate.reportKept(`${path} was changed since hardway wrote it: it is now ${path}.hardway-kept`);
    if (!gate.dryRun) await rename(path, `${path}.hardway-kept`);
  };

  const perform = async (undo: Undo): Promise<void> => {
    switch (undo.kind) {
      case 'remove':
        await saveModifiedFile(undo.path);
        await removeTemporaries(undo.path);
        return rm(undo.path, { force: true });
      case 'restore':
        await saveModifiedFile(undo.path);
        await removeTemporaries(undo.path);
        return restoreFile(undo.from, undo.path);
      case 'remove-tree': {
        if (!isSharedDirectory(undo.path)) return removeTree(undo.path);
        const inside = await readdir(undo.path);
        if (inside.length === 0) return rmdir(undo.path);
        return gate.reportKept(`${undo.path}: ${inside.join(', ')} in it ${inside.length > 1 ? 'are' : 'is'} not ours`);
      }
      case 'run':
        await runShown(undo.argv);
    }
  };

  const isDone = async (undo: Undo): Promise<boolean> => {
    const target = 'path' in undo ? undo.path : undo.argv.at(-1);
    const isThere = !target?.startsWith('/') || (await statIfThere(target)) !== undefined;
    if (undo.kind === 'restore') return sameFile(undo.from, undo.path);
    if (undo.kind === 'remove' && !isThere) await removeTemporaries(undo.path);
    return !isThere;
  };

  for (const { undo } of [...firstOfEach(entries)].reverse()) {
    if (!isOurs(undo) || (await isDone(undo))) continue;
    const group = undo.kind === 'run' ? 'settings back' : 'files and folders';
    await gate.apply(group, inWords(undo), () => perform(undo));
  }
};

/** Whether the lab's own folder holds it: that goes as a whole, and last. */
export const isInside = (undo: Undo): boolean =>
  'path' in undo && (undo.path === paths.root || undo.path.startsWith(`${paths.root}/`));
