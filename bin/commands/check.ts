import { Command } from 'commander';
import { runChecks } from '../../lib/engine/check.ts';
import { Unhealthy } from '../../lib/engine/errors.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import { stepIds, stepsWith } from '../../steps/index.ts';
import { chosenSteps, requireLab } from '../lab.ts';

/** Formats the result of one check; `reason` is undefined where it passed. */
type Format = (step: string, phrase: string, reason: string | undefined) => string;

const line: Format = (step, phrase, reason) =>
  reason === undefined ? `ok    ${step.padEnd(24)} ${phrase}` : `FAIL  ${step.padEnd(24)} ${phrase}\n      ${reason}`;

const jsonLine: Format = (step, phrase, reason) =>
  JSON.stringify({ step, check: phrase, ok: reason === undefined, reason });

const look = async (wanted: string | undefined, { json }: { json?: boolean }): Promise<void> => {
  const id = wanted === undefined ? undefined : parseChoice('step', stepIds, wanted);
  const state = await requireLab();
  const steps = stepsWith(state.lab);
  const context = readOnlyContext(state.lab, steps);
  let failed = 0;
  const chosen = chosenSteps(steps, state.steps, id);
  // Runs all checks at once: with a dead etcd each one would wait for its time-out in turn.
  const looks = chosen.map((step) => ({ step, looking: runChecks(step.checks, context) }));
  for (const { step, looking } of looks) {
    const failures = await looking;
    failed += failures.length;
    for (const { phrase } of step.checks) {
      const reason = failures.find((failure) => failure.phrase === phrase)?.reason;
      process.stdout.write(`${json ? jsonLine(step.id, phrase, reason) : line(step.id, phrase, reason)}\n`);
    }
  }
  if (failed > 0)
    throw new Unhealthy(`${failed} check${failed === 1 ? '' : 's'} failed`, {
      next: 'hardway up repairs; hardway logs COMPONENT shows why',
    });
};

export const command = (): Command =>
  new Command('check')
    .description('Looks once at every health check of the steps that were applied, or at those of one step.')
    .argument('[step]', 'the step to look at')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  sudo hardway check etcd')
    .action(look);
