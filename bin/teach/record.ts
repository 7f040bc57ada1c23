import { readJsonV1 } from '../../lib/engine/state.ts';
import { writeAtomically } from '../../lib/host/files.ts';
import { fields, listOf, mapOf, number, optional, text } from '../../lib/host/shape.ts';

/** What a learner has done in this lab. */
export interface LearnerRecord {
  /** Number of the guess by the id of its step. */
  readonly guesses: Readonly<Record<string, number>>;
  /** Ids of the tasks that were done, by the id of their step. */
  readonly done: Readonly<Record<string, readonly string[]>>;
}

const shape = fields({ guesses: optional(mapOf(number)), done: optional(mapOf(listOf(text))) });

/** Reads the record; an empty one where there is no file. Throws UserError for a file that cannot be read. */
export const readRecord = async (path: string): Promise<LearnerRecord> => {
  const file = (await readJsonV1(path, shape, 'hardway up --pause')) as Partial<LearnerRecord> | undefined;
  return { guesses: file?.guesses ?? {}, done: file?.done ?? {} };
};

const write = (path: string, record: LearnerRecord): Promise<void> =>
  writeAtomically(path, `${JSON.stringify({ version: 1, ...record }, undefined, 2)}\n`, { mode: 0o600 });

/** Records the guess of a step. */
export const saveGuess = async (path: string, step: string, option: number): Promise<void> => {
  const record = await readRecord(path);
  await write(path, { ...record, guesses: { ...record.guesses, [step]: option } });
};

/** Records that a task of a step is done. */
export const saveDone = async (path: string, step: string, task: string): Promise<void> => {
  const record = await readRecord(path);
  const others = (record.done[step] ?? []).filter((one) => one !== task);
  await write(path, { ...record, done: { ...record.done, [step]: [...others, task] } });
};
