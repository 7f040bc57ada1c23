import { closeSync, fdatasyncSync, lstatSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Change, madePath, type Undo } from '../host/change.ts';
import { largeFile, readSmallIfThere, sha256, writeAtomically } from '../host/files.ts';
import { paths } from '../host/paths.ts';
import { isStillThere, lookAt } from '../host/placed.ts';
import { isBelow } from '../host/remove.ts';
import { byKind, fields, listOf, number, oneOf, optional, type Shape, text } from '../host/shape.ts';
import { Bug, reasonOf, sentenceOf, UserError } from './errors.ts';
import { type SupervisorName, supervisorNames } from './lab.ts';
import { type ChangeV1, fromV1 } from './ledger-v1.ts';

/** One line of the ledger: a change, the time just before it, and the step. */
export interface LedgerEntry extends Change {
  readonly at: string;
  readonly step: string;
}

const deedShape = byKind({
  write: { path: text },
  'make-dir': { path: text },
  link: { path: text, target: text },
  place: { path: text },
  expect: { path: text, why: text },
  run: { argv: listOf(text) },
});

const placed = optional(fields({ size: number, mtimeMs: number, target: text }));

const undoShape = byKind({
  remove: { path: text, sha256: optional(text), placed },
  'remove-tree': { path: text },
  restore: { path: text, from: text, sha256: optional(text), placed },
  access: { path: text, mode: optional(number), owner: optional(fields({ uid: number, gid: number })) },
  run: { argv: listOf(text) },
  packages: { names: listOf(text) },
  unit: { name: text, supervisor: oneOf(...supervisorNames) },
  user: { name: text },
  module: { name: text },
});

const entryShape = fields({ at: text, step: text, do: deedShape, undo: undoShape });
const entryShapeV1 = fields({ at: text, step: text, what: text, undo: undoShape });

/** Returns the undo of a mode or an owner that an older hardway recorded as a command; any other as it is. */
const accessOf = (undo: Undo): Undo => {
  if (undo.kind !== 'run' || undo.argv.length !== 3) return undo;
  const [file, value = '', path = ''] = undo.argv;
  const [, uid, gid] = /^(\d+):(\d+)$/.exec(value) ?? [];
  if (file === 'chmod' && /^[0-7]{1,4}$/.test(value)) return { kind: 'access', path, mode: Number.parseInt(value, 8) };
  if (file === 'chown' && uid && gid) return { kind: 'access', path, owner: { uid: Number(uid), gid: Number(gid) } };
  return undo;
};

/** Parses one line of the ledger, of this version or of hardway 0.1; nothing else knows both. Throws where it is neither. */
const parseEntry = (line: string): LedgerEntry => {
  const entry = JSON.parse(line) as LedgerEntry | (Pick<LedgerEntry, 'at' | 'step'> & ChangeV1);
  const isV1 = fields({ what: text })(entry, '') === undefined;
  const shape: Shape = isV1 ? entryShapeV1 : entryShape;
  const wrong = shape(entry, 'it');
  if (wrong !== undefined) throw new Error(wrong);
  const { at, step } = entry;
  const change = 'do' in entry ? entry : fromV1(entry);
  return { at, step, do: change.do, undo: accessOf(change.undo) };
};

/** A line that a crash cut while it was written, when its change had not begun: one of ours begins like this. */
const isTorn = (line: string): boolean => line.startsWith('{"at":') && !line.endsWith('}');

/** Content of the ledger: its changes in the order in which they were made, and a sentence for each line that is none. */
export interface LedgerContent {
  readonly entries: readonly LedgerEntry[];
  readonly unreadable: readonly string[];
}

/**
 * Reads the ledger. Passes over a line that is no change of ours, so that the others can be undone. Throws UserError
 * where the file itself cannot be read.
 */
export const readLedgerContent = async (path: string): Promise<LedgerContent> => {
  const content = await readSmallIfThere(path, largeFile).catch((error: unknown) => {
    throw new UserError(
      `${path} cannot be read: ${sentenceOf(error)}`,
      'mend that; or move it away, then hardway reset: it stops the components and compares with the snapshot',
    );
  });
  const entries: LedgerEntry[] = [];
  const unreadable: string[] = [];
  for (const [index, line] of (content ?? '').split('\n').entries()) {
    if (line === '' || isTorn(line)) continue;
    try {
      entries.push(parseEntry(line));
    } catch (error) {
      const why = error instanceof SyntaxError ? 'it is not JSON' : reasonOf(error);
      const shown = `${JSON.stringify(line.slice(0, 80))}${line.length > 80 ? '...' : ''}`; // control characters too
      unreadable.push(`line ${index + 1} of ${path} is no change of hardway (${why}): ${shown}`);
    }
  }
  return { entries, unreadable };
};

/** Reads the changes of the ledger, as readLedgerContent does. */
export const readLedger = async (path: string): Promise<readonly LedgerEntry[]> =>
  (await readLedgerContent(path)).entries;

/** Returns the supervisor that started components in these changes; undefined where none was started. */
export const supervisorIn = (entries: readonly LedgerEntry[]): SupervisorName | undefined =>
  entries.flatMap(({ undo }) => (undo.kind === 'unit' ? [undo.supervisor] : []))[0];

/**
 * Returns the entry of a step that stays for whose sake this change stays too: it changed the same thing, or something in
 * the folder that the change made. Undefined where the change can be undone.
 */
const heirOf = ({ undo }: LedgerEntry, staying: readonly LedgerEntry[]): LedgerEntry | undefined =>
  staying.find(({ undo: theirs }) => {
    if (!('path' in undo && 'path' in theirs)) return JSON.stringify(theirs) === JSON.stringify(undo);
    return undo.kind === 'remove-tree' ? isBelow(theirs.path, undo.path) : theirs.path === undo.path;
  });

/** Selects the changes that are undone where some steps stay: those of the others, but none that a staying step shares. */
export const undoneBy = (entries: readonly LedgerEntry[], stays: (step: string) => boolean): readonly LedgerEntry[] => {
  const staying = entries.filter(({ step }) => stays(step));
  return entries.filter((entry) => !stays(entry.step) && !heirOf(entry, staying));
};

/** Writes a ledger anew, with these entries, where it was lost; makes its folder. */
export const writeLedger = async (path: string, entries: readonly LedgerEntry[]): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  await writeAtomically(path, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''), { mode: 0o600 });
};

/** Returns the change that a line holds; undefined where it cannot be read. */
const entryIn = (line: string): LedgerEntry | undefined => {
  try {
    return parseEntry(line);
  } catch {
    return undefined;
  }
};

/**
 * Rewrites the ledger with the lines of these steps only, because the changes of the others were undone. One that stayed
 * for the sake of one of these steps is from now on that step's. A line that cannot be read stays, for the next reset to
 * name.
 */
export const keepEntries = async (path: string, steps: readonly string[]): Promise<void> => {
  const content = (await readSmallIfThere(path, largeFile)) ?? '';
  const lines = content.split('\n').map((line) => ({ line, entry: entryIn(line) }));
  const staying = lines.flatMap(({ entry }) => (entry && steps.includes(entry.step) ? [entry] : []));
  const kept = lines.flatMap(({ line, entry }) => {
    if (!entry) return line === '' || isTorn(line) ? [] : [line];
    if (steps.includes(entry.step)) return [line];
    const heir = heirOf(entry, staying);
    return heir ? [JSON.stringify({ ...entry, step: heir.step })] : [];
  });
  await writeAtomically(path, kept.map((line) => `${line}\n`).join(''), { mode: 0o600 });
};

/** A copy of a link may lead nowhere: it is there all the same. */
const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/**
 * Returns the paths that the ledger's changes made, so that a later run tells its own files from foreign ones. A file
 * whose kept copy is gone was put back by a reset that was killed at its very end: it is no longer ours. Nor is a
 * program that somebody has put in the place of ours, except in the lab's own folder.
 */
export const ownedPaths = (entries: readonly LedgerEntry[]): ReadonlySet<string> => {
  const isBack = new Set(
    entries.flatMap(({ undo }) => (undo.kind === 'restore' && !isThere(undo.from) ? [undo.path] : [])),
  );
  const made = Map.groupBy(entries, ({ undo }) => madePath(undo) ?? '');
  made.delete('');
  const isReplaced = (path: string, changes: readonly LedgerEntry[]): boolean =>
    lookAt(path) !== undefined &&
    !isBelow(path, paths.root) &&
    changes.every(({ undo }) => 'placed' in undo && undo.placed && !isStillThere(path, undo.placed));
  return new Set([...made].flatMap(([path, changes]) => (isBack.has(path) || isReplaced(path, changes) ? [] : [path])));
};

/** Tells whether one of these changes wrote this content to a path: byte for byte, by its checksum. */
export const isWrittenBy = (entries: readonly LedgerEntry[], path: string, content: string): boolean => {
  const checksum = sha256(content);
  return entries.some(({ undo }) => 'sha256' in undo && undo.path === path && undo.sha256 === checksum);
};

/** Tells whether one of these changes made the link at a path, with the target that it has. */
export const isLinkedBy = (entries: readonly LedgerEntry[], path: string, target: string): boolean =>
  entries.some(({ do: deed }) => deed.kind === 'link' && deed.path === path && deed.target === target);

/**
 * Opens the ledger for writing. Each appended entry is on the disk when `append` returns. The first entry makes the
 * file and the lab's folder, so that a run which changes nothing leaves nothing. Throws Bug for a change after `close`:
 * the lab may be another run's by then.
 */
export const openLedger = (path: string) => {
  let file: number | undefined;
  let closed = false;
  const open = (): number => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
    const opened = openSync(path, 'a', 0o600);
    writeSync(opened, '\n'); // a torn line of a former run must not swallow our first one
    return opened;
  };
  return {
    append(step: string, change: Change): void {
      if (closed) throw new Bug(`step ${step} changes the machine after its run has ended`);
      file ??= open();
      const entry: LedgerEntry = { at: new Date().toISOString(), step, ...change };
      writeSync(file, `${JSON.stringify(entry)}\n`);
      fdatasyncSync(file);
    },
    close(): void {
      if (file !== undefined) closeSync(file);
      file = undefined;
      closed = true;
    },
  };
};
