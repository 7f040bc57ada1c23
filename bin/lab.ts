import { unitsHere } from '../lib/daemons/supervisor.ts';
import { UserError } from '../lib/engine/errors.ts';
import { type LedgerEntry, readLedger } from '../lib/engine/ledger.ts';
import { readState, type State } from '../lib/engine/state.ts';
import type { LabStep } from '../lib/engine/step.ts';
import { paths } from '../lib/host/paths.ts';

/** Says that a lab was not asked for this extra. */
export const noSuchStep = (id: string, next = `hardway up --with ${id}`): UserError =>
  new UserError(`this lab has no step ${id}`, next);

/** Throws UserError where units of a lab are here and its ledger is empty, as its folder is lost: only a reset helps. */
export const refuseLostLab = async (entries: readonly LedgerEntry[]): Promise<void> => {
  if (entries.length > 0) return;
  const units = await unitsHere();
  if (units.length === 0) return;
  throw new UserError(
    `the lab on this machine has lost its folder ${paths.root}; its units are here: ${units.join(', ')}`,
    `hardway reset; where ${paths.root} is a disk that is not mounted, mount it instead`,
  );
};

/** Returns the state of this machine's lab. Throws UserError where there is none, or the user is not root. */
export const requireLab = async (): Promise<State> => {
  if (process.getuid?.() !== 0) throw new UserError(`${paths.root} belongs to root`, 'the same command with sudo');
  const state = await readState(paths.state);
  if (!state) {
    await refuseLostLab(await readLedger(paths.ledger));
    throw new UserError('there is no lab on this machine', 'hardway up, or hardway vm up for one in a VM');
  }
  return state;
};

/** Beginning of the step under which the ledger has the changes of an exercise. */
export const exercisePrefix = 'exercise ';

/** Returns the id of the exercise that runs in this lab: the ledger has changes of it. */
export const runningExercise = async (): Promise<string | undefined> =>
  (await readLedger(paths.ledger))
    .find(({ step }) => step.startsWith(exercisePrefix))
    ?.step.slice(exercisePrefix.length);

/** Throws UserError while an exercise runs, for a command that would repair the lab or name the fault. */
export const refuseDuringExercise = async (): Promise<void> => {
  if (process.getuid?.() !== 0) return;
  const id = await runningExercise();
  if (id === undefined) return;
  throw new UserError(
    `the exercise ${id} runs: this command would repair its fault or name it`,
    'hardway practice check marks it; hardway practice give-up takes it back',
  );
};

/** Returns the command that undoes the steps after one, or everything. */
export const resetTo = (step?: string): string => `hardway reset${step === undefined ? '' : ` --to ${step}`}`;

/**
 * The steps of a lab that a person means: the one of that name, else all that were applied.
 * Throws UserError where that is none, as a command that looks at nothing would always succeed.
 */
export const chosenSteps = (
  steps: readonly LabStep[],
  applied: State['steps'],
  id: string | undefined,
): readonly LabStep[] => {
  const chosen = steps.filter((step) => (id === undefined ? step.id in applied : step.id === id));
  if (chosen.length > 0) return chosen;
  throw id === undefined ? new UserError('no step of this lab was applied yet', 'hardway up') : noSuchStep(id);
};
