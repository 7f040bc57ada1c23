import { rm } from 'node:fs/promises';
import { writeAtomically } from '../host/files.ts';
import { readJsonV1 } from './state.ts';
import type { LabObservation } from './step.ts';

/** The lines of output that are shown of one observation; the command shows a learner the rest. */
const shown = 12;

/** What a command printed, as far as a person is shown it. */
export const shownOutput = (output: string): readonly string[] => {
  const lines = output
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
  const left = lines.length - shown;
  return [...lines.slice(0, shown), ...(left > 0 ? [`... ${left} more lines`] : [])];
};

/** What an observation printed when it last held: the lines as a person was shown them. */
type ObservationRecord =
  | { readonly id: string; readonly lines: readonly string[] }
  /** As an older hardway wrote it, with the English phrase as its identity. */
  | { readonly phrase: string; readonly command: string; readonly lines: readonly string[] };

const isOf = (record: ObservationRecord, { id, phrase, command }: LabObservation): boolean =>
  'id' in record ? record.id === id : record.phrase === phrase.en && record.command === command;

/** What was seen after each step, by its id. Much of it was true at that moment only: nobody can look again. */
export type ObservationRecords = Readonly<Record<string, readonly ObservationRecord[]>>;

/** What was seen in this lab; nothing where no file is. Throws UserError when the file is not ours to read. */
export const readObservations = async (path: string): Promise<ObservationRecords> => {
  const file = (await readJsonV1(path, 'hardway up --observe')) as { readonly steps: ObservationRecords } | undefined;
  return file?.steps ?? {};
};

const writeObservations = (path: string, steps: ObservationRecords): Promise<void> =>
  writeAtomically(path, `${JSON.stringify({ version: 1, steps }, undefined, 2)}\n`, { mode: 0o600 });

/** Records what an observation printed, in place of its earlier record. Throws UserError as readObservations does. */
export const saveObservation = async (
  path: string,
  step: string,
  observation: LabObservation,
  output: string,
): Promise<void> => {
  const seen = await readObservations(path);
  const others = (seen[step] ?? []).filter((record) => !isOf(record, observation));
  const record = { id: observation.id, lines: shownOutput(output) };
  await writeObservations(path, { ...seen, [step]: [...others, record] });
};

/** Forgets what was seen after steps that are taken back. A file that cannot be read may hold just that, so it goes. */
export const deleteObservations = async (path: string, stays: ReadonlySet<string>): Promise<void> => {
  const seen = await readObservations(path).catch(() => ({}));
  const kept = Object.entries(seen).filter(([step]) => stays.has(step));
  await (kept.length > 0 ? writeObservations(path, Object.fromEntries(kept)) : rm(path, { force: true }));
};

/** The lines that an observation printed; undefined where it was not looked at, or with another command. */
export const recordedLines = (
  seen: ObservationRecords,
  step: string,
  observation: LabObservation,
): readonly string[] | undefined => seen[step]?.find((record) => isOf(record, observation))?.lines;
