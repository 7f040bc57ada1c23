import { lstatSync, readlinkSync } from 'node:fs';
import { chmod, copyFile, lchown, readdir, rename, rm, rmdir, symlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { isUserGone, removeUser } from '../../lib/daemons/users.ts';
import type { Undoer } from '../../lib/engine/gate.ts';
import type { LedgerEntry } from '../../lib/engine/ledger.ts';
import { ForeignLink, inFolderOf } from '../../lib/host/anchor.ts';
import { installed, purge, reasonToKeep } from '../../lib/host/apt.ts';
import { formatUndo, madePath, type Placed, type Undo } from '../../lib/host/change.ts';
import {
  freeName,
  readIfThere,
  removeTemporaries,
  setAccess,
  sha256OfFile,
  statIfThere,
  swapIn,
} from '../../lib/host/files.ts';
import { paths } from '../../lib/host/paths.ts';
import { isStillThere } from '../../lib/host/placed.ts';
import { isBelow } from '../../lib/host/remove.ts';
import { runShown } from '../../lib/host/run.ts';
import { removePlace } from './clean/files.ts';
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

/**
 * Keeps one entry per path or command. The first one knows the state before hardway; but where somebody has put a file
 * of theirs at a path of ours since, the one that kept it.
 */
const oneOfEach = (entries: readonly LedgerEntry[]): readonly LedgerEntry[] => {
  const kept = new Map<string, LedgerEntry>();
  for (const entry of entries) {
    const name = madePath(entry.undo) ?? JSON.stringify(entry.undo);
    if (entry.undo.kind === 'restore') kept.delete(name);
    if (!kept.has(name)) kept.set(name, entry);
  }
  return [...kept.values()];
};

/** Tells whether an undo was done already: nothing is at its path, or the kept copy is back or gone. */
const isDone = async (undo: Undo): Promise<boolean> => {
  // A reset that was killed at its very end had put the file back and removed the copy.
  if (undo.kind === 'restore') return !(await statIfThere(undo.from)) || (await sameFile(undo.from, undo.path));
  const target = 'path' in undo ? undo.path : undo.kind === 'run' ? undo.argv.at(-1) : undefined;
  return target?.startsWith('/') === true && (await statIfThere(target)) === undefined;
};

/**
 * Tells whether an undo is performed by itself. Units and modules are not: a reset stops and unloads all of them at
 * once.
 */
const isSingle = ({ kind }: Undo): boolean => kind !== 'unit' && kind !== 'module';

/**
 * Tells whether a path is in the lab's own folder, which a whole reset removes at once, and last. A mode is set back all
 * the same: the folder stays where it is a disk of its own.
 */
const isInRoot = (undo: Undo): boolean => isBelow(madePath(undo) ?? '', paths.root);

/** What we put at a path: the checksum of a file, the target of a link, or a program that was placed. */
type Mark = string | Placed;

/** Collects what we put at each path. An older hardway did not record it for a program that it placed. */
const marksOf = (entries: readonly LedgerEntry[]): ReadonlyMap<string, ReadonlySet<Mark>> => {
  const marks = new Map<string, Set<Mark>>();
  const add = (path: string, mark: Mark): void => void marks.set(path, (marks.get(path) ?? new Set()).add(mark));
  for (const { do: deed, undo } of entries) {
    if ('sha256' in undo && undo.sha256) add(undo.path, undo.sha256);
    if ('placed' in undo && undo.placed) add(undo.path, undo.placed);
    if (deed.kind === 'link') add(deed.path, deed.target);
  }
  for (const { do: deed, undo } of entries)
    if (deed.kind === 'place' && !('placed' in undo && undo.placed)) marks.delete(deed.path);
  return marks;
};

/** Tells whether a file or link is one that we put there. */
const isOneOf = async (path: string, ours: ReadonlySet<Mark>): Promise<boolean> => {
  if ([...ours].some((mark) => typeof mark !== 'string' && isStillThere(path, mark))) return true;
  if ((await statIfThere(path))?.isSymbolicLink()) return ours.has(readlinkSync(path));
  return [...ours].some((mark) => typeof mark === 'string') && ours.has(await sha256OfFile(path));
};

/** Purges packages that we brought. They stay where others need them or have changed their settings. */
const removePackages = async (names: readonly string[], undoer: Undoer): Promise<void> => {
  const there = await installed(names);
  if (there.length === 0) return;
  const reason = await reasonToKeep(there);
  if (reason === undefined) return undoer.apply(formatUndo({ kind: 'packages', names: there }), () => purge(there));
  undoer.reportKept(`${there.join(', ')}: ${reason}`);
  undoer.reportRemaining(there.join(', '));
};

/** A path, and the same name through its open folder, which no link leads elsewhere meanwhile. */
interface Place {
  readonly path: string;
  readonly place: string;
}

/** Moves a file or link aside and names it, if it is none of what we put there. */
const saveModified = async (
  { path, place }: Place,
  ours: ReadonlySet<Mark> | undefined,
  undoer: Undoer,
): Promise<void> => {
  const there = await statIfThere(place);
  if (!ours || !(there?.isFile() || there?.isSymbolicLink()) || (await isOneOf(place, ours))) return;
  const kept = await freeName(`${place}.hardway-kept`);
  undoer.reportKept(`${path} was changed since hardway wrote it: it is now ${dirname(path)}/${basename(kept)}`);
  await rename(place, kept);
};

/** Removes a folder if it is empty; else names what is in it. */
const removeFolder = async ({ path, place }: Place, undoer: Undoer): Promise<void> => {
  const inside = await readdir(place);
  if (inside.length === 0) return rmdir(place);
  undoer.reportKept(`${path}: ${inside.join(', ')} in it ${inside.length > 1 ? 'are' : 'is'} not ours`, path);
};

/**
 * Puts back or removes what we put at a path, or gives back its mode or owner. What lies behind a link that a person has
 * put there since is theirs.
 */
const undoFile = (undo: Extract<Undo, { path: string }>, { undoer }: Reset, ours?: ReadonlySet<Mark>): Promise<void> =>
  inFolderOf(undo.path, async (place) => {
    const { path } = undo;
    if (undo.kind === 'access') {
      if (!(await statIfThere(place))?.isSymbolicLink()) return setAccess(path, undo);
      return undoer.reportKept(`${path} is a link by now: what it leads to keeps its mode and its owner`);
    }
    if (undo.kind === 'remove-tree') return removeFolder({ path, place }, undoer);
    await saveModified({ path, place }, ours, undoer);
    if (undo.kind === 'restore') return restoreFile(undo.from, path);
    await removeTemporaries(path);
    await rm(place, { force: true });
  }).catch((error: unknown) => {
    if (!(error instanceof ForeignLink)) throw error;
    undoer.reportKept(error.message);
  });

/** Undoes one change, unless that was done already. */
const undoOne = async (undo: Undo, scope: Reset, ours?: ReadonlySet<Mark>): Promise<void> => {
  const { undoer, plan, signal } = scope;
  if (undo.kind === 'packages') return removePackages(undo.names, undoer);
  if (undo.kind === 'user') {
    if (!(await isUserGone(undo.name))) await undoer.apply(formatUndo(undo), () => removeUser(undo.name));
    return;
  }
  if (undo.kind === 'remove-tree' && [paths.root, ...plan.leaves.paths].some((own) => isBelow(undo.path, own)))
    return removePlace(undo.path, scope);
  if (await isDone(undo).catch(() => false)) {
    if (undo.kind === 'remove' && !undoer.dryRun) await removeTemporaries(undo.path); // what a killed write left
  } else if (undo.kind === 'run') await undoer.apply(formatUndo(undo), () => runShown(undo.argv, { signal }));
  else if ('path' in undo) await undoer.apply(formatUndo(undo), () => undoFile(undo, scope, ours));
};

/**
 * Undoes the ledger's changes, the last one first. An undo that was done already does nothing, so that an interrupted
 * reset can run again. Keeps a file beside its path, and names it, if somebody changed it since we wrote it; keeps a
 * folder that contains something neither we nor our daemons put there, and what an earlier stage has kept.
 */
export const undoChanges = async (scope: Reset): Promise<void> => {
  const { undoer, plan } = scope;
  const marks = marksOf(plan.entries);
  for (const { undo } of [...oneOfEach(plan.entries)].reverse()) {
    if (!isSingle(undo) || (plan.to === undefined && isInRoot(undo))) continue;
    const path = 'path' in undo ? undo.path : '';
    if (!undoer.isKept(path)) await undoer.attempt(formatUndo(undo), () => undoOne(undo, scope, marks.get(path)));
  }
};
