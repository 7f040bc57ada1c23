import { rm } from 'node:fs/promises';
import { writeAtomically } from '../host/files.ts';
import { fields, listOf, mapOf, optional, text } from '../host/shape.ts';
import { readJsonV1 } from './state.ts';
import type { LabObservation } from './step.ts';

/** Most lines of output that are shown of one observation; its command shows the rest. */
const shown = 12;

/** Returns the lines of a command's output that are shown to a person. */
export const shownOutput = (output: string): readonly string[] => {
  const lines = output
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
  const left = lines.length - shown;
  return [...lines.slice(0, shown), ...(left > 0 ? [`... ${left} more lines`] : [])];
};

/** The output of an observation when it last held: the lines that were shown to a person. */
type ObservationRecord =
  | { readonly id: string; readonly lines: readonly string[] }
  /** Record of an older hardway, identified by its English phrase. */
  | { readonly phrase: string; readonly command: string; readonly lines: readonly string[] };

const isOf = (record: ObservationRecord, { id, phrase, command }: LabObservation): boolean =>
  'id' in record ? record.id === id : record.phrase === phrase.en && record.command === command;

const recordsShape = fields({
  steps: mapOf(
    listOf(fields({ id: optional(text), phrase: optional(text), command: optional(text), lines: listOf(text) })),
  ),
});

/** Records of observations by the id of their step. Many were true at that moment only, so nobody can look again. */
export type ObservationRecords = Readonly<Record<string, readonly ObservationRecord[]>>;

/**
 * Reads the records of this lab; none where there is no file. Throws UserError when the file cannot be read or another hardway
 * wrote it.
 */
export const readObservations = async (path: string): Promise<ObservationRecords> => {
  const file = (await readJsonV1(path, recordsShape, 'hardway up --observe')) as
    | { readonly steps: ObservationRecords }
    | undefined;
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

/** Deletes the records of undone steps. Deletes a file that cannot be read as a whole: it may hold such records. */
export const deleteObservations = async (path: string, stays: ReadonlySet<string>): Promise<void> => {
  const seen = await readObservations(path).catch(() => ({}));
  const kept = Object.entries(seen).filter(([step]) => stays.has(step));
  await (kept.length > 0 ? writeObservations(path, Object.fromEntries(kept)) : rm(path, { force: true }));
};

/** Returns the recorded lines of an observation; undefined where there is none, or only one of another command. */
export const recordedLines = (
  seen: ObservationRecords,
  step: string,
  observation: LabObservation,
): readonly string[] | undefined => seen[step]?.find((record) => isOf(record, observation))?.lines;
