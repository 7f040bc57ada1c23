import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readSmallIfThere, writeAtomically } from '../host/files.ts';
import { UserError } from './errors.ts';
import type { Lab } from './lab.ts';

/**
 * Reads a JSON file of ours, of version 1; undefined where there is none. Throws UserError where it is torn, naming
 * `anew` as the command to write it again, and where another hardway wrote it. Throws an error that says what is there
 * where it is no file.
 */
export const readJsonV1 = async (path: string, anew: string): Promise<object | undefined> => {
  const text = await readSmallIfThere(path);
  if (text === undefined) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new UserError(`${path} is not JSON: it was torn or edited`, `move it away and run ${anew}`);
  }
  const version = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  if (version !== 1) {
    throw new UserError(
      `${path} has version ${String(version)}, this hardway reads version 1`,
      'use the hardway that wrote it',
    );
  }
  return parsed as object;
};

/** Content of the state file. Derived facts are not in it: `check` asks the lab itself. */
export interface State {
  readonly version: 1;
  readonly lab: Lab;
  readonly steps: Readonly<Record<string, StepRecord>>;
}

export interface StepRecord {
  /** Checksum of the step's inputs when it was applied; if it differs now, the step is applied again. */
  readonly fingerprint: string;
  readonly at: string;
  readonly seconds: number;
}

/**
 * Reads the state file; undefined where there is no lab. Throws UserError when it is torn or another hardway wrote it.
 */
export const readState = async (path: string): Promise<State | undefined> =>
  (await readJsonV1(path, 'hardway up: healthy components are kept')) as State | undefined;

/** Writes the state file in one step: a crash leaves the old or the new one. */
export const writeState = async (path: string, state: State): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeAtomically(path, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
};
