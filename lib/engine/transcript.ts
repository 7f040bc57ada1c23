import { readFile } from 'node:fs/promises';
import { statIfThere } from '../host/files.ts';
import { quoted } from '../host/host.ts';
import type { LedgerEntry } from './ledger.ts';

/** Shell commands in the place of writing a file: for what holds a key, which a transcript must not show. */
export type ByHand = (path: string) => Promise<readonly string[] | undefined>;

const modeOf = (mode: number): string => (mode & 0o777).toString(8);

/** A heredoc that writes a file as it is. */
export const heredoc = (path: string, content: string): readonly string[] => [
  `cat >${quoted([path])} <<'EOF'`,
  content.replace(/\n$/, ''),
  'EOF',
];

const commandOf = async ({ what, undo }: LedgerEntry, byHand: ByHand): Promise<readonly string[]> => {
  if (undo.kind === 'run') return [what];
  const { path } = undo;
  const own = await byHand(path);
  if (own) return own;
  const stat = await statIfThere(path);
  if (!stat) return [];
  if (undo.kind === 'remove-tree') return [`mkdir -p -m ${modeOf(stat.mode)} ${quoted([path])}`];
  if (what !== `write ${path}`) return []; // something that a daemon makes by itself, such as a socket or a log
  const lines = heredoc(path, await readFile(path, 'utf8'));
  const mode = modeOf(stat.mode);
  return mode === '644' ? lines : [...lines, `chmod ${mode} ${quoted([path])}`];
};

/**
 * The changes of a step as shell commands, in their order and each once: folders and files as they are now, commands
 * as they were run.
 */
export const commandsOf = async (entries: readonly LedgerEntry[], byHand: ByHand): Promise<readonly string[]> => {
  const seen = new Set<string>();
  const commands: string[] = [];
  for (const entry of entries) {
    if (seen.has(entry.what)) continue;
    seen.add(entry.what);
    commands.push(...(await commandOf(entry, byHand)));
  }
  return commands;
};
