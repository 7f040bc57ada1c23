import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeAtomically } from '../host/files.ts';
import type { Lab } from './lab.ts';
import { readVersioned } from './versioned.ts';

/** What is remembered of a lab between two commands. Derived facts are not in it: `check` asks the lab itself. */
export interface State {
  readonly version: 1;
  readonly lab: Lab;
  readonly steps: Readonly<Record<string, StepRecord>>;
}

export interface StepRecord {
  /** Checksum of everything the step was applied from; another one means: apply again. */
  readonly fingerprint: string;
  readonly at: string;
  readonly seconds: number;
}

/** The remembered state, or undefined where there is no lab. Throws UserError when the file is not ours to read. */
export const readState = async (path: string): Promise<State | undefined> =>
  (await readVersioned(path, 'hardway up: healthy components are kept')) as State | undefined;

/** Writes the state, all of it or nothing. */
export const writeState = async (path: string, state: State): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeAtomically(path, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
};
