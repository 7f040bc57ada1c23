import { setTimeout as sleep } from 'node:timers/promises';
import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { type Failure, runChecks } from '../../lib/engine/check.ts';
import { Unhealthy } from '../../lib/engine/errors.ts';
import { warningsOf } from '../../lib/engine/lab.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import type { State } from '../../lib/engine/state.ts';
import { languageOf } from '../../lib/engine/text.ts';
import { notesOn, readRotation } from '../../lib/pki/rotation.ts';
import { stepsWith } from '../../steps/index.ts';
import { refuseDuringExercise, requireLab } from '../lab.ts';
import { asTyped } from '../typed.ts';

interface Row {
  readonly step: string;
  readonly state: 'healthy' | 'unhealthy' | 'not applied' | 'unknown';
  /** Reason why it is unhealthy, or could not be looked at. */
  readonly reason?: string;
  readonly process?: string;
  readonly since?: string;
}

const stateOf = (failure: Failure | undefined): Row['state'] => {
  if (!failure) return 'healthy';
  return failure.blind ? 'unknown' : 'unhealthy';
};

const rows = async ({ lab, steps: records }: State): Promise<readonly Row[]> => {
  const steps = stepsWith(lab);
  const context = readOnlyContext(lab, steps);
  const daemons = steps.filter(({ daemon }) => daemon);
  const units = await supervisorOf(lab).statuses(daemons.map(({ id }) => id));
  return Promise.all(
    steps.map(async (step): Promise<Row> => {
      if (!(step.id in records)) return { step: step.id, state: 'not applied' };
      const failures = await runChecks(step.checks, context);
      const failure = failures.find(({ blind }) => !blind) ?? failures[0];
      const unit = units[daemons.indexOf(step)];
      return {
        step: step.id,
        state: stateOf(failure),
        ...(failure && { reason: `${failure.phrase}: ${failure.reason}` }),
        ...(unit && { process: unit.words }),
        ...(unit?.since && { since: new Date(unit.since).toISOString() }),
      };
    }),
  );
};

const notAppliedYet = 'not applied yet';

const jsonLine = ({ step, state, reason, ...process }: Row): string =>
  JSON.stringify({
    step,
    healthy: state === 'healthy',
    reason: state === 'not applied' ? notAppliedYet : reason, // absent where it is undefined
    ...(state === 'unknown' && { looked: false }),
    ...process,
  });

/** Returns a step as a person reads it. Its first line fits a terminal of 80 columns. */
export const statusLine = ({ step, state, reason, process, since }: Row): string => {
  const health = { healthy: 'healthy', unhealthy: 'NOT HEALTHY', 'not applied': notAppliedYet, unknown: '??' }[state];
  const start = since ? ` since ${since.replace('T', ' ').slice(0, 16)} UTC` : '';
  const first = `${step.padEnd(24)}${health.padEnd(11)} ${process ?? ''}${start}`.trimEnd();
  if (reason === undefined) return first;
  return `${first}\n  ${state === 'unknown' ? 'could not be looked at: ' : ''}${reason}`;
};

/** Returns the notes about a lab's supervisor and PKI, and what of it is being replaced. */
const notes = async ({ lab }: State): Promise<string> => {
  const language = languageOf(undefined);
  const rotation = notesOn(await readRotation());
  const known = [supervisorOf(lab).note?.[language], ...warningsOf(lab, language), ...rotation];
  return known.flatMap((note) => (note ? [`note: ${note}\n`] : [])).join('');
};

/** Returns what is said of a lab in which not every step is healthy: one that stands at a step is not broken. */
export const verdict = (rows: readonly Pick<Row, 'step' | 'state'>[]): Unhealthy => {
  const bad = rows.filter(({ state }) => state !== 'healthy');
  const [next] = bad;
  if (next && bad.every(({ state }) => state === 'not applied'))
    return new Unhealthy(`${rows.length - bad.length} of ${rows.length} steps are taken, all of them healthy`, {
      next: `hardway next takes ${next.step}, with its lesson; hardway up takes all that are left`,
    });
  return new Unhealthy(`${bad.length} of ${rows.length} steps are not healthy`, {
    next: 'hardway up repairs; where it does not, hardway doctor looks for the cause in this machine',
  });
};

/** Shows how each step is, once or every two seconds. Throws Unhealthy where one is not healthy. */
export const showStatus = async ({ json, watch }: { json?: boolean; watch?: boolean }): Promise<void> => {
  for (;;) {
    const state = await requireLab();
    await refuseDuringExercise();
    const now = await rows(state);
    if (watch && process.stdout.isTTY && !json) process.stdout.write('\x1b[H\x1b[2J');
    process.stdout.write(now.map((row) => `${json ? jsonLine(row) : statusLine(row)}\n`).join(''));
    if (!json) process.stdout.write(asTyped(await notes(state)));
    if (!watch) {
      if (now.some(({ state: health }) => health !== 'healthy')) throw verdict(now);
      return;
    }
    await sleep(2000);
  }
};
