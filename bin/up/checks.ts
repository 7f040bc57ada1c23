import { type Failure, runChecks } from '../../lib/engine/check.ts';
import { Unhealthy } from '../../lib/engine/errors.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import { stepIds, stepsWith } from '../../steps/index.ts';
import { chosenSteps, refuseDuringExercise, requireLab } from '../lab.ts';

/** Formats the result of one check; `failure` is undefined where it passed. */
type Format = (step: string, phrase: string, failure: Failure | undefined) => string;

const line: Format = (step, phrase, failure) => {
  const said = `${step.padEnd(24)} ${phrase}`;
  if (!failure) return `ok    ${said}`;
  return failure.blind
    ? `??    ${said}\n      could not be looked at: ${failure.reason}`
    : `FAIL  ${said}\n      ${failure.reason}`;
};

const jsonLine: Format = (step, phrase, failure) =>
  JSON.stringify({
    step,
    check: phrase,
    ok: failure === undefined,
    reason: failure?.reason, // absent where it is undefined
    ...(failure?.blind && { looked: false }),
  });

/** Says how many checks failed, apart from those that could not be looked at. */
const summary = (failures: readonly Failure[]): string => {
  const blind = failures.filter((one) => one.blind).length;
  const failed = failures.length - blind;
  const counted = (count: number, what: string): string[] =>
    count > 0 ? [`${count} check${count === 1 ? '' : 's'} ${what}`] : [];
  return [...counted(failed, 'failed'), ...counted(blind, 'could not be looked at')].join(', ');
};

/** Looks once at every check and shows what it found. Throws Unhealthy where one did not pass. */
export const showChecks = async (wanted: string | undefined, { json }: { json?: boolean }): Promise<void> => {
  const id = wanted === undefined ? undefined : parseChoice('step', stepIds, wanted);
  const state = await requireLab();
  await refuseDuringExercise();
  const steps = stepsWith(state.lab);
  const context = readOnlyContext(state.lab, steps);
  const found: Failure[] = [];
  const chosen = chosenSteps(steps, state.steps, id);
  // Runs all checks at once: with a dead etcd each one would wait for its time-out in turn.
  const looks = chosen.map((step) => ({ step, looking: runChecks(step.checks, context) }));
  for (const { step, looking } of looks) {
    const failures = await looking;
    found.push(...failures);
    for (const { phrase } of step.checks) {
      const failure = failures.find((one) => one.phrase === phrase);
      process.stdout.write(`${(json ? jsonLine : line)(step.id, phrase, failure)}\n`);
    }
  }
  if (found.length === 0) return;
  const next = found.every(({ blind }) => blind)
    ? 'mend that, then hardway check; hardway doctor looks for the cause in this machine'
    : 'hardway up repairs; hardway logs COMPONENT shows why, and hardway doctor what is wrong with this machine';
  throw new Unhealthy(summary(found), { next });
};
