import { rm } from 'node:fs/promises';
import { shownOutput } from '../../bin/up/show.ts';
import { writeAtomically } from '../host/files.ts';
import { readVersioned } from './state.ts';
import type { Observation } from './step.ts';

/** What an observation printed when it was last so. */
interface Sight {
  /** Its phrase in English, which tells it from the others of its step. */
  readonly phrase: string;
  readonly command: string;
  /** The lines as a person was shown them. */
  readonly lines: readonly string[];
}

/** What was seen after each step, by its id. Much of it was true at that moment only: nobody can look again. */
export type Seen = Readonly<Record<string, readonly Sight[]>>;

/** What was seen in this lab; nothing where no file is. Throws UserError when the file is not ours to read. */
export const readSeen = async (path: string): Promise<Seen> => {
  const file = (await readVersioned(path, 'hardway up --observe')) as { readonly steps: Seen } | undefined;
  return file?.steps ?? {};
};

const writeSeen = (path: string, steps: Seen): Promise<void> =>
  writeAtomically(path, `${JSON.stringify({ version: 1, steps }, undefined, 2)}\n`, { mode: 0o600 });

/** Keeps what an observation printed, in the place of what it printed before. Throws UserError as readSeen does. */
export const keepSeen = async (
  path: string,
  step: string,
  { phrase, command }: Observation,
  output: string,
): Promise<void> => {
  const seen = await readSeen(path);
  const others = (seen[step] ?? []).filter((sight) => sight.phrase !== phrase.en);
  await writeSeen(path, { ...seen, [step]: [...others, { phrase: phrase.en, command, lines: shownOutput(output) }] });
};

/** Forgets what was seen after steps that are taken back. A file that cannot be read may hold just that, so it goes. */
export const forgetSeen = async (path: string, stays: ReadonlySet<string>): Promise<void> => {
  const seen = await readSeen(path).catch(() => ({}));
  const kept = Object.entries(seen).filter(([step]) => stays.has(step));
  await (kept.length > 0 ? writeSeen(path, Object.fromEntries(kept)) : rm(path, { force: true }));
};

/** The lines that an observation printed; undefined where it was not looked at, or with another command. */
export const linesOf = (seen: Seen, step: string, { phrase, command }: Observation): readonly string[] | undefined =>
  seen[step]?.find((sight) => sight.phrase === phrase.en && sight.command === command)?.lines;
