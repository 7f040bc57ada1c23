import { keepEntries } from '../../../lib/engine/ledger.ts';
import { deleteObservations } from '../../../lib/engine/observations.ts';
import { readState, writeState } from '../../../lib/engine/state.ts';
import { paths } from '../../../lib/host/paths.ts';
import type { Reset } from './scope.ts';

/** Deletes the records of observations of undone steps. */
export const dropObservations = async ({ plan, undoer }: Reset): Promise<void> => {
  if (!undoer.dryRun) await deleteObservations(paths.seen, plan.stays);
};

/** Removes undone steps from the state file, so that a crash while undoing does not leave them recorded as applied. */
export const dropStepRecords = async ({ plan, undoer }: Reset): Promise<void> => {
  const state = undoer.dryRun ? undefined : await readState(paths.state).catch(() => undefined);
  if (!state) return;
  const kept = Object.entries(state.steps).filter(([id]) => plan.stays.has(id));
  await writeState(paths.state, { ...state, steps: Object.fromEntries(kept) });
};

/** Removes the changes of undone steps from the ledger, if all of them were undone. */
export const shortenLedger = async ({ plan, undoer, failures, remaining }: Reset): Promise<void> => {
  if (!undoer.dryRun && failures.length + remaining.length === 0) await keepEntries(paths.ledger, [...plan.stays]);
};
