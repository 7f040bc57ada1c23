import { closeSync, fdatasyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Change } from '../host/change.ts';
import { readIfThere, sha256, writeAtomically } from '../host/files.ts';
import type { SupervisorName } from './lab.ts';
import { type ChangeV1, fromV1 } from './ledger-v1.ts';

/** One line of the ledger: a change, the time just before it, and the step. */
export interface LedgerEntry extends Change {
  readonly at: string;
  readonly step: string;
}

/** Parses one line of the ledger, of this version or of hardway 0.1; nothing else knows both. */
const parseEntry = (line: string): LedgerEntry => {
  const entry = JSON.parse(line) as LedgerEntry | (Pick<LedgerEntry, 'at' | 'step'> & ChangeV1);
  return 'do' in entry ? entry : { at: entry.at, step: entry.step, ...fromV1(entry) };
};

/**
 * Reads the entries of the ledger in the order in which they were written. Skips a torn last line, left by a crash
 * during a write: its change had not begun.
 */
export const readLedger = async (path: string): Promise<readonly LedgerEntry[]> => {
  const lines = ((await readIfThere(path)) ?? '').split('\n').filter((line) => line !== '');
  return lines.flatMap((line) => {
    try {
      return [parseEntry(line)];
    } catch {
      return [];
    }
  });
};

/** Returns the supervisor that started components in these changes; undefined where none was started. */
export const supervisorIn = (entries: readonly LedgerEntry[]): SupervisorName | undefined =>
  entries.flatMap(({ undo }) => (undo.kind === 'unit' ? [undo.supervisor] : []))[0];

/** Rewrites the ledger with the entries of these steps only: the changes of the others were undone. */
export const keepEntries = async (path: string, steps: readonly string[]): Promise<void> => {
  const kept = (await readLedger(path)).filter(({ step }) => steps.includes(step));
  const text = kept.map((entry) => `${JSON.stringify(entry)}\n`).join('');
  await writeAtomically(path, text, { mode: 0o600 });
};

/** Returns the paths that the ledger's changes made, so that a later run tells its own files from foreign ones. */
export const ownedPaths = (entries: readonly LedgerEntry[]): ReadonlySet<string> =>
  new Set(entries.flatMap(({ undo }) => ('path' in undo ? [undo.path] : [])));

/** Tells whether one of these changes wrote this content to a path: byte for byte, by its checksum. */
export const isWrittenBy = (entries: readonly LedgerEntry[], path: string, content: string): boolean => {
  const checksum = sha256(content);
  return entries.some(({ undo }) => 'sha256' in undo && undo.path === path && undo.sha256 === checksum);
};

/**
 * Opens the ledger for writing. Each appended entry is on the disk when `append` returns. The first entry makes the
 * file and the lab's folder, so that a run which changes nothing leaves nothing.
 */
export const openLedger = (path: string) => {
  let file: number | undefined;
  const open = (): number => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const opened = openSync(path, 'a', 0o600);
    writeSync(opened, '\n'); // a torn line of a former run must not swallow our first one
    return opened;
  };
  return {
    append(step: string, change: Change): void {
      file ??= open();
      const entry: LedgerEntry = { at: new Date().toISOString(), step, ...change };
      writeSync(file, `${JSON.stringify(entry)}\n`);
      fdatasyncSync(file);
    },
    close(): void {
      if (file !== undefined) closeSync(file);
      file = undefined;
    },
  };
};
