import { sha256 } from '../host/files.ts';
import { createHosts, type HostOptions } from '../host/host.ts';
import { paths } from '../host/paths.ts';
import { quoted } from '../host/run.ts';
import { type Check, runChecks, waitFor } from './check.ts';
import { commandLine } from './daemon.ts';
import { isDiskFull, reasonOf, Unhealthy, UserError } from './errors.ts';
import type { Tell } from './events.ts';
import type { Lab } from './lab.ts';
import type { openLedger } from './ledger.ts';
import { type State, writeState } from './state.ts';
import { type Context, type LabStep, type Needs, needsOf } from './step.ts';

/** Queries about a component: whether it has ended since it was started, and its last log lines. */
export interface Supervisor {
  readonly status: (
    name: string,
  ) => Promise<{ readonly words: string; readonly restarts: number; readonly active: boolean }>;
  readonly lastLog: (name: string, lines: number) => Promise<readonly string[]>;
}

export interface Run {
  readonly lab: Lab;
  /** Needs of all steps of the lab, also of those that this run does not take. */
  readonly needs: Needs;
  /** Steps of this run, in their order. */
  readonly steps: readonly LabStep[];
  readonly source: Context['source'];
  readonly signal: AbortSignal;
  readonly dryRun: boolean;
  /** Runs strictly one step at a time (pause, observe, tmux): no early starts, no deferred checks. */
  readonly sequential: boolean;
  /** Seconds that the checks of a step may take to pass after it was applied. */
  readonly deadline: number;
  readonly tell: Tell;
  readonly ledger: ReturnType<typeof openLedger>;
  readonly owned: HostOptions['owned'];
  readonly supervisor: Supervisor;
  /** Called after each step, applied or skipped: observations, a pause. */
  readonly afterwards?: (step: LabStep, context: Context) => Promise<void>;
  /** State before this run; the runner writes a new one after every step. */
  readonly state: State | undefined;
}

const diskFull = (step: LabStep, error: unknown): UserError =>
  error instanceof UserError
    ? error
    : new UserError(
        `${step.id}: a disk is full: ${reasonOf(error)}`,
        `df -h ${paths.root} ${paths.cache} /var/lib/containerd shows which; make room there, then hardway up`,
      );

/** Least milliseconds between two probes of a check that has not passed. */
const pollInterval = 50;

/**
 * Everything a step is applied from. A step whose fingerprint is the recorded one, and that is healthy, is skipped.
 * What the lab has besides is not in it: that adds steps and changes none.
 */
export const fingerprint = (step: LabStep, lab: Lab): string => {
  const { with: _, ...rest } = lab;
  return sha256(JSON.stringify([rest, step.daemon])).slice(0, 16);
};

/** Caches one promise per key for this run, failures included. */
const memoize = (): Context['memo'] => {
  const made = new Map<string, Promise<unknown>>();
  return <T>(key: string, make: () => Promise<T>): Promise<T> => {
    const known = made.get(key) as Promise<T> | undefined;
    if (known) return known;
    const making = make();
    making.catch(() => {}); // awaited later, perhaps after it failed: not an unhandled rejection
    made.set(key, making);
    return making;
  };
};

/**
 * Prepares a run. The returned function brings up one step: skip, apply, wait, record. Throws Unhealthy when a check
 * does not pass in time or the component ends.
 */
export const createRunner = (run: Run) => {
  const { lab, signal, tell, supervisor } = run;
  const once = memoize();
  let records = run.state?.steps ?? {};
  /** True once a step was applied in this run: then the later ones are applied too, because they may depend on it. */
  let applied = false;

  let current = '';
  const hostFor = createHosts(run);

  const contextOf = (step: LabStep): Context => ({
    lab,
    signal,
    needs: run.needs,
    source: run.source,
    memo: once,
    host: hostFor(
      {
        record: (change) => run.ledger.append(step.id, change),
        tell: (what) => tell({ event: 'change', step: step.id, what }),
      },
      signal,
    ),
    // A step that was started early reports nothing until its turn.
    progress: (text) => current === step.id && tell({ event: 'progress', step: step.id, text }),
  });

  const unhealthy = async (step: LabStep, message: string): Promise<Unhealthy> => {
    if (!step.daemon) return new Unhealthy(message, { next: `hardway check ${step.id}, then hardway up` });
    const { name } = step.daemon;
    return new Unhealthy(`${message}\ncommand: ${quoted(commandLine(step.daemon))}`, {
      log: await supervisor.lastLog(name, 8),
      next: `hardway logs ${name}, then hardway up`,
    });
  };

  /** Throws when the step's process has ended since `restarts` was read, because its checks can no longer pass. */
  const failIfDead = (step: LabStep, restarts: number) => async (): Promise<void> => {
    if (!step.daemon) return;
    const status = await supervisor.status(step.daemon.name);
    if (status.active && status.restarts <= restarts) return;
    throw await unhealthy(step, `${step.id} does not stay up: ${status.words}`);
  };

  const record = async (step: LabStep, seconds: number): Promise<void> => {
    const entry = { fingerprint: fingerprint(step, lab), at: new Date().toISOString(), seconds };
    records = { ...records, [step.id]: entry };
    await writeState(paths.state, { version: 1, lab, steps: records });
  };

  const isKnown = (step: LabStep): boolean => records[step.id]?.fingerprint === fingerprint(step, lab);

  /** Steps that were started early, with their promises. */
  const startedEarly = new Map<string, Promise<void>>();
  const startDependents = (id: string): void => {
    if (run.sequential || run.dryRun) return;
    for (const step of run.steps) {
      if (step.startAfter !== id || isKnown(step)) continue;
      const going = step.apply(contextOf(step));
      going.catch(() => {}); // awaited in its turn
      startedEarly.set(step.id, going);
    }
  };

  const wait = async (step: LabStep, context: Context, checks: readonly Check<Context>[]): Promise<void> => {
    const restarts = step.daemon ? (await supervisor.status(step.daemon.name)).restarts : 0;
    const failure = await waitFor(checks, context, {
      interval: pollInterval,
      deadline: run.deadline * 1000,
      signal,
      waiting: ({ phrase, reason }) => tell({ event: 'waiting', step: step.id, check: phrase, reason }),
      failFast: failIfDead(step, restarts),
    });
    if (failure) {
      throw await unhealthy(
        step,
        `${step.id}: "${failure.phrase}" is not so after ${run.deadline} s: ${failure.reason}`,
      );
    }
  };

  /** Checks postponed to the end of the run. */
  const deferredChecks: (() => Promise<void>)[] = [];

  const bringUp = async (step: LabStep, context: Context): Promise<void> => {
    await (startedEarly.get(step.id) ?? step.apply(context));
    if (run.dryRun) return;
    const late = step.checks.filter((one) => one.deferred);
    if (late.length > 0) deferredChecks.push(() => wait(step, context, late));
    await wait(
      step,
      context,
      step.checks.filter((one) => !one.deferred),
    );
    if (!run.sequential && step.id !== run.steps.at(-1)?.id) return;
    for (const waitOn of deferredChecks.splice(0)) await waitOn();
  };

  const runStep = async (step: LabStep): Promise<void> => {
    signal.throwIfAborted();
    current = step.id;
    const context = contextOf(step);
    const known = !applied && isKnown(step);
    if (known && (await runChecks(step.checks, context)).length === 0) {
      tell({ event: 'step', step: step.id, state: 'skipped' });
      startDependents(step.id);
      return run.dryRun ? undefined : run.afterwards?.(step, context);
    }
    applied = true;
    tell({ event: 'step', step: step.id, state: 'started' });
    const begin = performance.now();
    const seconds = (): number => Math.round(performance.now() - begin) / 1000;
    try {
      await bringUp(step, context);
      if (!run.dryRun) await record(step, seconds());
    } catch (error) {
      tell({ event: 'step', step: step.id, state: 'failed', seconds: seconds() });
      throw isDiskFull(error) ? diskFull(step, error) : error;
    }
    tell({ event: 'step', step: step.id, state: 'healthy', seconds: seconds() });
    startDependents(step.id);
    if (!run.dryRun) await run.afterwards?.(step, context);
  };

  return async (step: LabStep): Promise<void> => {
    try {
      await runStep(step);
    } catch (error) {
      await Promise.allSettled(startedEarly.values()); // no step works on after the run has ended
      throw error;
    }
  };
};

/** Makes a context for commands that only look at a lab with these steps: its host changes nothing. */
export const readOnlyContext = (lab: Lab, steps: readonly LabStep[]): Context => ({
  lab,
  needs: needsOf(steps),
  signal: new AbortController().signal,
  source: { kind: 'auto' },
  memo: memoize(),
  host: createHosts({ dryRun: true, owned: new Set() })({ record: () => {}, tell: () => {} }),
  progress: () => {},
});
