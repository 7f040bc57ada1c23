import { rm } from 'node:fs/promises';
import { check, waitFor } from '../../lib/engine/check.ts';
import { Unhealthy } from '../../lib/engine/errors.ts';
import { openGate } from '../../lib/engine/gate.ts';
import { keepEntries } from '../../lib/engine/ledger.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import type { State } from '../../lib/engine/state.ts';
import { statIfThere } from '../../lib/host/files.ts';
import { paths } from '../../lib/host/paths.ts';
import { run } from '../../lib/host/run.ts';
import { stepIds, stepsWith } from '../../steps/index.ts';
import { exercisePrefix } from '../lab.ts';
import { readLabOnDisk } from '../reset/lab-on-disk.ts';
import { planReset } from '../reset/plan.ts';
import { undoChanges } from '../reset/undo.ts';

/** Milliseconds in which the lab has to be healthy again: a Node that was NotReady takes the longest. */
const healthyDeadlineMs = 120_000;

/** Undoes the ledger's changes of exercises, the last one first. Throws Unhealthy where one could not be undone. */
const undoEntries = async (signal: AbortSignal): Promise<void> => {
  const found = await readLabOnDisk();
  if (!found || !(await statIfThere(paths.practice))) return; // nothing was done yet, or all of it was undone
  const entries = found.entries.filter(({ step }) => step.startsWith(exercisePrefix));
  const plan = planReset({ found: { ...found, entries }, to: stepIds.at(-1), sharesContainers: false, purges: false });
  const reasons: string[] = [];
  const { failures, remaining, runStage } = openGate(
    false,
    (event) => event.event === 'failed' && reasons.push(`${event.what}: ${event.reason}`),
    signal,
  );
  await runStage('exercise', (undoer) =>
    undoChanges({ plan, before: undefined, undoer, failures, remaining, signal, reportDifference: () => {} }),
  );
  if (reasons.length > 0)
    throw new Unhealthy(`the exercise could not be taken back:\n  ${reasons.join('\n  ')}`, {
      next: 'mend that, then hardway practice give-up',
    });
};

/**
 * Takes back what an exercise changed, starts these components again, and waits until every check of the lab passes. It can
 * be repeated after an interruption. Throws Unhealthy with the last reason.
 */
export const takeBack = async ({ lab }: State, restarts: readonly string[], signal: AbortSignal): Promise<void> => {
  await undoEntries(signal);
  const units = restarts.map((name) => `${name}.service`);
  await run('systemctl', ['daemon-reload'], { signal, timeout: 30_000 });
  await run('systemctl', ['reset-failed', ...units], { signal, timeout: 30_000 });
  await run('systemctl', ['restart', ...units], { signal, timeout: 120_000 });
  await keepEntries(paths.ledger, stepIds);
  await rm(paths.practice, { recursive: true, force: true }); // also what an interrupted start put there last
  const steps = stepsWith(lab);
  const failure = await waitFor(
    steps.flatMap(({ checks }) => checks.map(({ phrase, probe }) => check(phrase, probe))),
    readOnlyContext(lab, steps),
    { interval: 100, deadline: healthyDeadlineMs, signal, waiting: () => {}, failFast: async () => {} },
  );
  if (failure)
    throw new Unhealthy(`the exercise is taken back, but "${failure.phrase}" is not so: ${failure.reason}`, {
      next: 'hardway up repairs',
    });
};
