import { lstatSync, readlinkSync } from 'node:fs';
import { chmod, copyFile, lchown, readdir, readFile, rename, rm, rmdir, symlink } from 'node:fs/promises';
import { removeTree } from '../../lib/engine/gate.ts';
import type { LedgerEntry } from '../../lib/engine/ledger.ts';
import { formatUndo, type Undo } from '../../lib/host/change.ts';
import { readIfThere, removeTemporaries, sha256, statIfThere, swapIn } from '../../lib/host/files.ts';
import { paths } from '../../lib/host/paths.ts';
import { runShown } from '../../lib/host/run.ts';
import type { Reset } from './clean/scope.ts';

/** Copies a file or a link with its mode and owner, the whole of it or nothing. */
const restoreFile = (from: string, to: string): Promise<void> =>
  swapIn(to, async (temporary) => {
    const stat = lstatSync(from);
    if (stat.isSymbolicLink()) await symlink(readlinkSync(from), temporary);
    else await copyFile(from, temporary);
    await lchown(temporary, stat.uid, stat.gid);
    if (!stat.isSymbolicLink()) await chmod(temporary, stat.mode & 0o7777);
  });

/** Tells whether two files have the same content, or two links the same target. */
const sameFile = async (one: string, other: string): Promise<boolean> => {
  const stats = await Promise.all([one, other].map(statIfThere));
  if (stats.every((found) => found?.isSymbolicLink())) return readlinkSync(one) === readlinkSync(other);
  if (!stats.every((found) => found?.isFile())) return false;
  const [a, b] = await Promise.all([readIfThere(one), readIfThere(other)]);
  return a !== undefined && a === b;
};

/** Keeps the first entry per path or command: only it knows the state before hardway. */
const firstOfEach = (entries: readonly LedgerEntry[]): readonly LedgerEntry[] => {
  const seen = new Set<string>();
  return entries.filter(({ undo }) => {
    const name = 'path' in undo ? undo.path : JSON.stringify(undo);
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  });
};

/** Returns a free name beside `path`, for a file that is kept. */
const freeName = async (path: string): Promise<string> => {
  for (let count = 1; ; count += 1) {
    const name = `${path}.hardway-kept${count === 1 ? '' : `-${count}`}`;
    if (!(await statIfThere(name))) return name;
  }
};

/** Tells whether an undo was done already: nothing is at its path, or the kept copy is back. */
const isDone = async (undo: Undo): Promise<boolean> => {
  if (undo.kind === 'restore') return sameFile(undo.from, undo.path);
  const target = 'path' in undo ? undo.path : undo.kind === 'run' ? undo.argv.at(-1) : undefined;
  return target?.startsWith('/') === true && (await statIfThere(target)) === undefined;
};

/**
 * Tells whether an undo is performed by itself. Units and modules are not: a reset stops and unloads all of them at
 * once.
 */
const isSingle = ({ kind }: Undo): boolean => kind !== 'unit' && kind !== 'module';

const isBelow = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** Tells whether a path is in the lab's own folder, which a whole reset removes at once, and last. */
const isInRoot = (undo: Undo): boolean => 'path' in undo && isBelow(undo.path, paths.root);

/**
 * Undoes the ledger's changes, the last one first. An undo that was done already does nothing, so that an interrupted
 * reset can run again. Keeps a file beside its path, and names it, if somebody changed it since we wrote it; keeps a
 * folder that contains something neither we nor our daemons put there.
 */
export const undoChanges = async ({ undoer, plan, signal }: Reset): Promise<void> => {
  const { entries, leaves } = plan;
  const checksums = new Map<string, Set<string>>();
  for (const { undo } of entries) {
    if ('sha256' in undo && undo.sha256)
      checksums.set(undo.path, (checksums.get(undo.path) ?? new Set()).add(undo.sha256));
  }

  /** Moves a file aside if its content is none of what we wrote. */
  const saveModifiedFile = async (path: string): Promise<void> => {
    const ours = checksums.get(path);
    if (!ours || !(await statIfThere(path))?.isFile() || ours.has(sha256(await readFile(path)))) return;
    const kept = await freeName(path);
    undoer.reportKept(`${path} was changed since hardway wrote it: it is now ${kept}`);
    await rename(path, kept);
  };

  const removeFolder = async (path: string): Promise<void> => {
    if (plan.sharesContainers && leaves.shared.includes(path)) return; // reported already
    if ([paths.root, ...leaves.paths].some((own) => isBelow(path, own))) return removeTree(path);
    const inside = await readdir(path);
    if (inside.length === 0) return rmdir(path);
    undoer.reportKept(`${path}: ${inside.join(', ')} in it ${inside.length > 1 ? 'are' : 'is'} not ours`);
  };

  const perform = async (undo: Undo): Promise<void> => {
    if (undo.kind === 'remove-tree') return removeFolder(undo.path);
    if (undo.kind === 'run') return runShown(undo.argv, { signal });
    if (!('path' in undo)) return;
    await saveModifiedFile(undo.path);
    if (undo.kind === 'restore') return restoreFile(undo.from, undo.path);
    await removeTemporaries(undo.path);
    await rm(undo.path, { force: true });
  };

  for (const { undo } of [...firstOfEach(entries)].reverse()) {
    if (!isSingle(undo) || (plan.to === undefined && isInRoot(undo))) continue;
    if (!(await isDone(undo).catch(() => false))) await undoer.apply(formatUndo(undo), () => perform(undo));
    else if (undo.kind === 'remove' && !undoer.dryRun) await removeTemporaries(undo.path); // what a killed write left
  }
};
