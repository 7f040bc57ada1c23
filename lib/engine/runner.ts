import { isDeepStrictEqual } from 'node:util';
import type { Change } from '../host/change.ts';
import { placesOf } from '../host/facts/places.ts';
import { sha256 } from '../host/files.ts';
import { createHosts, type HostOptions } from '../host/host.ts';
import { paths, system } from '../host/paths.ts';
import { quoted } from '../host/run.ts';
import { type Check, runChecks, waitFor } from './check.ts';
import { commandLine } from './daemon.ts';
import { isBug, isDiskFull, reasonOf, sentenceOf, Unhealthy, UserError } from './errors.ts';
import type { RunEvent, Tell } from './events.ts';
import type { Lab } from './lab.ts';
import type { openLedger } from './ledger.ts';
import { type State, writeState } from './state.ts';
import { type Context, type LabStep, type Needs, needsOf } from './step.ts';
import { formatBytes } from './text.ts';

/** Queries about a component: whether it has ended since it was started, and its last log lines. */
export interface Supervisor {
  readonly status: (name: string) => Promise<{
    readonly words: string;
    readonly active: boolean;
    readonly restarting: boolean;
    readonly restarts: number;
  }>;
  readonly lastLog: (name: string, lines: number) => Promise<readonly string[]>;
}

export interface Run {
  readonly lab: Lab;
  /** Needs of all steps of the lab, also of those that this run does not take. */
  readonly needs: Needs;
  readonly places: Context['places'];
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
  /** Waits until what a step needs of the work of earlier ones is there. Called before it is applied. */
  readonly ready?: (step: LabStep, context: Context) => Promise<void>;
  /** Called before a step is applied; not for one that is skipped. */
  readonly beforehand?: (step: LabStep, context: Context) => Promise<void>;
  /**
   * Called after each step, applied or skipped: observations, a pause. `again` applies a step once more and waits for its
   * checks.
   */
  readonly afterwards?: (step: LabStep, context: Context, again: (step: LabStep) => Promise<void>) => Promise<void>;
  /** State before this run; the runner writes a new one after every step. */
  readonly state: State | undefined;
}

/** Least milliseconds between two probes of a check that has not passed. */
const pollInterval = 50;

/**
 * Least seconds without progress after which applying a step is given up, even if the deadline of its checks is
 * shorter.
 */
const shortestStall = 60;

/** Milliseconds that aborted work has to clean up. */
const graceMs = 10_000;

/**
 * Returns the checksum of a step's inputs: its daemon and what it declares of its other inputs. A healthy step whose
 * checksum is the recorded one is skipped.
 */
export const fingerprint = async (step: LabStep): Promise<string> =>
  sha256(JSON.stringify([step.daemon, await step.inputs?.()])).slice(0, 16);

/** Caches one promise per key, failures included, and hands each new one to `watch`. */
const memoize = (watch: (begun: Promise<unknown>) => void = () => {}): Context['memo'] => {
  const made = new Map<string, Promise<unknown>>();
  return <T>(key: string, make: () => Promise<T>): Promise<T> => {
    const known = made.get(key) as Promise<T> | undefined;
    if (known) return known;
    const making = make();
    making.catch(() => {}); // awaited later, perhaps after it failed: not an unhandled rejection
    made.set(key, making);
    watch(making);
    return making;
  };
};

/** State of a run. */
interface Session {
  readonly run: Run;
  /** Aborted with the run and at its end, so that nothing it began goes on. */
  readonly signal: AbortSignal;
  readonly end: AbortController;
  readonly hostFor: ReturnType<typeof createHosts>;
  readonly memo: Context['memo'];
  /** Work that was begun and may still go on. */
  readonly begun: Set<Promise<unknown>>;
  /** Steps that were started before their turn. */
  readonly startedEarly: Map<string, Promise<void>>;
  /** What each step has last said of its progress: one that was started early is heard when its turn comes. */
  readonly lastProgress: Map<string, string>;
  /** What each step waits for now: a deferred check is heard when its turn comes. */
  readonly lastWaiting: Map<string, RunEvent>;
  /** Checks postponed to the end of the run. */
  readonly deferred: { readonly step: LabStep; readonly begin: () => Promise<void>; waiting?: Promise<void> }[];
  /** Number of steps at the beginning of the run that are healthy: read at once, before the first one's turn. */
  healthyAtStart?: Promise<number>;
  /** Id of the step whose turn it is; only its progress, and what it waits for, is reported. */
  current: string;
  /** True once a step was applied: then all later ones are applied too, because they may depend on it. */
  applied: boolean;
  records: State['steps'];
}

const openSession = (run: Run): Session => {
  const end = new AbortController();
  const begun = new Set<Promise<unknown>>();
  return {
    run,
    end,
    signal: AbortSignal.any([run.signal, end.signal]),
    hostFor: createHosts(run),
    memo: memoize((one) => begun.add(one)),
    begun,
    startedEarly: new Map(),
    lastProgress: new Map(),
    lastWaiting: new Map(),
    deferred: [],
    current: '',
    applied: false,
    records: run.state?.steps ?? {},
  };
};

/** Makes the context of a step. `alive` is called at each change and each report of progress. */
const contextOf = (
  session: Session,
  step: LabStep,
  { signal, alive }: { signal: AbortSignal; alive: (text: string) => void } = {
    signal: session.signal,
    alive: () => {},
  },
): Context => {
  const { run, memo } = session;
  const told = {
    record: (change: Change) => run.ledger.append(step.id, change),
    tell: (what: string) => {
      alive(what);
      run.tell({ event: 'change', step: step.id, what });
    },
  };
  const progress = (text: string): void => {
    alive(text);
    session.lastProgress.set(step.id, text);
    if (session.current === step.id) run.tell({ event: 'progress', step: step.id, text });
  };
  return {
    lab: run.lab,
    needs: run.needs,
    places: run.places,
    source: run.source,
    signal,
    memo,
    host: session.hostFor(told, signal),
    progress,
  };
};

/**
 * Waits for work that obeys `signal`. Once the signal is aborted, throws its reason as soon as the work has ended, or
 * after ten seconds if the work ignores the signal.
 */
const obedient = async (work: Promise<void>, signal: AbortSignal): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const disobeyed = Promise.withResolvers<never>();
  const giveUp = (): void => {
    timer = setTimeout(() => disobeyed.reject(signal.reason), graceMs);
  };
  if (signal.aborted) giveUp();
  else signal.addEventListener('abort', giveUp, { once: true });
  try {
    await Promise.race([work, disobeyed.promise]);
    signal.throwIfAborted();
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', giveUp); // the end of the run aborts it as well, and nobody clears a timer then
    clearTimeout(timer);
  }
};

/**
 * Applies a step. It has no deadline, because a download may be slow, but is aborted when it makes no change and
 * reports no progress for as long as its checks may take.
 */
const applyStep = async (session: Session, step: LabStep): Promise<void> => {
  await session.run.ready?.(step, contextOf(session, step));
  const limit = step.stallLimit ?? Math.max(session.run.deadline, shortestStall);
  const stalled = new AbortController();
  let last = 'the start';
  const timer = setTimeout(
    () => stalled.abort(new Error(`nothing has happened for ${limit} s since ${last}`)),
    limit * 1000,
  );
  const alive = (text: string): void => {
    last = `"${text}"`;
    timer.refresh();
  };
  const signal = AbortSignal.any([session.signal, stalled.signal]);
  try {
    await obedient(step.apply(contextOf(session, step, { signal, alive })), signal);
  } finally {
    clearTimeout(timer);
  }
};

/** Folders that daemons write to, and the least bytes they need there: etcd reserves 64 MB for a log, and for its next. */
const written = [paths.root, paths.etcd, system.containerd, '/var/log'];
const leastFree = 128e6;

const unhealthy = async ({ run }: Session, step: LabStep, message: string): Promise<Unhealthy> => {
  if (!step.daemon) return new Unhealthy(message, { next: `hardway check ${step.id}, then hardway up` });
  const { name } = step.daemon;
  const log = await run.supervisor.lastLog(name, 8).catch(() => []);
  const full = (await placesOf(written).catch(() => [])).find(({ freeBytes }) => freeBytes < leastFree);
  const disk = full && `\nthe disk of ${full.path} has ${formatBytes(full.freeBytes)} free`;
  return new Unhealthy(`${message}${disk ?? ''}\ncommand: ${quoted(commandLine(step.daemon))}`, {
    log,
    next:
      full || log.some(isDiskFull)
        ? `df -h ${written.join(' ')} shows which disk is full; make room there, then hardway up`
        : `hardway logs ${name}, then hardway up`,
  });
};

/**
 * Turns an error out of a step into Unhealthy, with log and next command: the machine failed. UserError, an abort and a
 * bug stay as they are; a full disk becomes a UserError that says what to do.
 */
const failureOf = async (session: Session, step: LabStep, error: unknown): Promise<unknown> => {
  if (session.run.signal.aborted || error instanceof UserError || isBug(error)) return error;
  if (isDiskFull(error))
    return new UserError(
      `${step.id}: a disk is full: ${reasonOf(error)}`,
      `df -h ${paths.root} ${paths.cache} /var/lib/containerd shows which; make room there, then hardway up`,
    );
  return error instanceof Unhealthy ? error : unhealthy(session, step, `${step.id}: ${sentenceOf(error)}`);
};

/**
 * How often a process may end before its step counts as failed. The first end is forgiven where the supervisor starts the
 * process again: on a slow machine kube-apiserver ends itself after a minute in which its first work was not done
 * ("PostStartHook ... failed"), and its second start succeeds.
 */
const mostEnds = 1;

/**
 * Throws when the step's process does not run and will not be started again, or has ended more than `mostEnds` times since
 * the first call, because its checks can no longer pass.
 */
const failIfDead = (session: Session, step: LabStep): (() => Promise<void>) => {
  let before: number | undefined;
  let lastEnd: string | undefined;
  return async () => {
    if (!step.daemon) return;
    const { active, restarting, restarts, words } = await session.run.supervisor.status(step.daemon.name);
    before ??= restarts;
    if (!active) lastEnd = words;
    const ends = restarts - before + (restarting ? 1 : 0);
    if ((active || restarting) && ends <= mostEnds) return;
    throw await unhealthy(session, step, `${step.id} does not stay up: ${lastEnd ?? words}`);
  };
};

const wait = async (session: Session, step: LabStep, checks: readonly Check<Context>[]): Promise<void> => {
  const { deadline, tell } = session.run;
  const failure = await waitFor(checks, contextOf(session, step), {
    interval: pollInterval,
    deadline: deadline * 1000,
    signal: session.signal,
    waiting: ({ phrase, reason }) => {
      const event = { event: 'waiting', step: step.id, check: phrase, reason } as const;
      session.lastWaiting.set(step.id, event);
      if (session.current === step.id) tell(event);
    },
    failFast: failIfDead(session, step),
  });
  session.lastWaiting.delete(step.id);
  if (!failure) return;
  const { phrase, reason } = failure;
  throw await unhealthy(session, step, `${step.id}: "${phrase}" is not so after ${deadline} s: ${reason}`);
};

const isKnown = async ({ records }: Session, step: LabStep): Promise<boolean> =>
  records[step.id]?.fingerprint === (await fingerprint(step));

/** Returns how many of these steps, from the first on, pass their checks. Looks at all of them at the same time. */
const countHealthy = async (
  session: Session,
  looked: readonly { readonly step: LabStep; readonly checks: LabStep['checks'] }[],
): Promise<number> => {
  const enough = new AbortController();
  const signal = AbortSignal.any([session.signal, enough.signal]);
  // What a look has found out, such as that there are no certificates, may change when a step is applied.
  const memo = memoize();
  const looks = looked.map(({ step, checks }) =>
    runChecks(checks, { ...contextOf(session, step), signal, memo }, { signal }).then(
      (failures) => failures.length === 0,
      () => false, // aborted
    ),
  );
  for (const [index, look] of looks.entries()) {
    if (await look) continue;
    enough.abort();
    session.signal.throwIfAborted();
    return index;
  }
  return looks.length;
};

/**
 * Returns how many steps at the beginning of the run are healthy and made from the same inputs as before. The deferred
 * checks come last, and only those of steps that are healthy otherwise: in a broken lab they would wait for long.
 */
const countHealthyAtStart = async (session: Session): Promise<number> => {
  const known: LabStep[] = [];
  for (const step of session.run.steps) {
    if (!(await isKnown(session, step))) break;
    known.push(step);
  }
  const looked = (steps: readonly LabStep[], deferred: boolean) =>
    steps.map((step) => ({ step, checks: step.checks.filter((one) => (one.deferred ?? false) === deferred) }));
  const healthy = await countHealthy(session, looked(known, false));
  return countHealthy(session, looked(known.slice(0, healthy), true));
};

/** Tells whether nothing is to do for a step. A run that pauses looks in its turn: a person may do things meanwhile. */
const isHealthy = async (session: Session, step: LabStep): Promise<boolean> => {
  const { run, signal } = session;
  if (session.applied) return false;
  if (!run.sequential) {
    session.healthyAtStart ??= countHealthyAtStart(session);
    return run.steps.slice(0, await session.healthyAtStart).some(({ id }) => id === step.id);
  }
  if (!(await isKnown(session, step))) return false;
  return (await runChecks(step.checks, contextOf(session, step), { signal })).length === 0;
};

/** Starts to apply the steps that depend on this one only. */
const startDependents = async (session: Session, id: string): Promise<void> => {
  const { sequential, dryRun, steps } = session.run;
  if (sequential || dryRun) return;
  for (const step of steps) {
    if (step.startAfter !== id || (await isKnown(session, step))) continue;
    const going = applyStep(session, step);
    going.catch(() => {}); // awaited in its turn
    session.startedEarly.set(step.id, going);
    session.begun.add(going);
  }
};

/** Begins the rest of a step's work. */
const beginRest = (session: Session, step: LabStep): Promise<void> | undefined => {
  const rest = step.finish?.(contextOf(session, step));
  if (!rest) return undefined;
  rest.catch(() => {}); // awaited in its turn
  session.begun.add(rest);
  return rest;
};

/** Begins the work of steps that were never applied, and that changes nothing. */
const prepareSteps = (session: Session): void => {
  const { sequential, dryRun, steps } = session.run;
  if (sequential || dryRun) return;
  for (const step of steps) if (!(step.id in session.records)) step.prepare?.(contextOf(session, step));
};

/** Applies a step and waits for its checks; postpones the deferred ones and the rest of its work. */
const bringUp = async (session: Session, step: LabStep): Promise<void> => {
  const { dryRun, sequential } = session.run;
  await (session.startedEarly.get(step.id) ?? applyStep(session, step));
  if (dryRun) return;
  const later = step.checks.filter(({ deferred }) => deferred && !sequential);
  const rest = beginRest(session, step);
  if (!sequential && (rest || later.length > 0))
    session.deferred.push({
      step,
      begin: async () => {
        await rest;
        await wait(session, step, later);
      },
    });
  const now = step.checks.filter((one) => !later.includes(one));
  await Promise.all([wait(session, step, now), sequential ? rest : undefined]);
};

const record = async (session: Session, step: LabStep, seconds: number): Promise<void> => {
  const entry = { fingerprint: await fingerprint(step), at: new Date().toISOString(), seconds };
  session.records = { ...session.records, [step.id]: entry };
  await writeState(paths.state, { version: 1, lab: session.run.lab, steps: session.records });
};

/**
 * Records a lab of which only something has changed that is no input of a step, such as the interface of the Node's
 * address.
 */
const recordLab = async ({ run, records }: Session): Promise<void> => {
  const lab = JSON.parse(JSON.stringify(run.lab)) as Lab; // as it is read back: without fields that are undefined
  if (run.dryRun || !run.state || isDeepStrictEqual(run.state.lab, lab)) return;
  await writeState(paths.state, { version: 1, lab: run.lab, steps: records });
};

/**
 * Runs `work` as a part of a step: reports an error as the failure of that step, and throws it as failureOf returns it.
 */
const inStep = async (session: Session, step: LabStep, work: () => Promise<void>): Promise<number> => {
  const begin = performance.now();
  const seconds = (): number => Math.round(performance.now() - begin) / 1000;
  try {
    await work();
    return seconds();
  } catch (error) {
    session.run.tell({ event: 'step', step: step.id, state: 'failed', seconds: seconds() });
    throw await failureOf(session, step, error);
  }
};

const runStep = async (session: Session, step: LabStep): Promise<void> => {
  const { run, signal } = session;
  signal.throwIfAborted();
  session.current = step.id;
  const context = contextOf(session, step);
  if (await isHealthy(session, step)) {
    run.tell({ event: 'step', step: step.id, state: 'skipped' });
  } else {
    session.applied = true;
    if (!run.dryRun) await run.beforehand?.(step, context);
    run.tell({ event: 'step', step: step.id, state: 'started' });
    const text = session.lastProgress.get(step.id);
    if (text !== undefined) run.tell({ event: 'progress', step: step.id, text });
    const begin = performance.now();
    const seconds = await inStep(session, step, async () => {
      await bringUp(session, step);
      if (!run.dryRun) await record(session, step, Math.round(performance.now() - begin) / 1000);
    });
    run.tell({ event: 'step', step: step.id, state: 'healthy', seconds });
  }
  await startDependents(session, step.id);
  if (!run.dryRun) await run.afterwards?.(step, context, (one) => bringUp(session, one));
};

/** Begins to wait for the postponed checks, all at the same time. */
const beginDeferred = ({ deferred }: Session): void => {
  for (const one of deferred) {
    one.waiting ??= one.begin();
    one.waiting.catch(() => {}); // awaited in its turn
  }
};

/** Waits for the postponed checks; the first that fails does so in the name of its step. */
const waitForDeferred = async (session: Session): Promise<void> => {
  beginDeferred(session);
  for (const { step, waiting } of session.deferred.splice(0)) {
    session.current = step.id;
    const event = session.lastWaiting.get(step.id);
    if (event) session.run.tell(event);
    await inStep(session, step, async () => waiting);
  }
};

/** Aborts the work that nobody waits for any more, and waits until it has ended. */
const endSession = async ({ end, begun }: Session): Promise<void> => {
  end.abort(new Error('the run has ended'));
  let timer: NodeJS.Timeout | undefined;
  const grace = new Promise((resolve) => {
    timer = setTimeout(resolve, graceMs);
  });
  await Promise.race([Promise.allSettled(begun), grace]);
  clearTimeout(timer);
};

/**
 * Prepares a run. The returned function brings up one step: skip, apply, wait, record. Throws Unhealthy when a check
 * does not pass in time or the component ends.
 */
export const createRunner = (run: Run): ((step: LabStep) => Promise<void>) => {
  const session = openSession(run);
  prepareSteps(session);
  return async (step) => {
    const last = step.id === run.steps.at(-1)?.id;
    try {
      if (last) beginDeferred(session); // while the last step is applied
      await runStep(session, step);
      if (last) await waitForDeferred(session);
      if (last) await recordLab(session);
    } catch (error) {
      await endSession(session);
      throw error;
    }
    if (last) await endSession(session);
  };
};

/** Makes a context for commands that only look at a lab with these steps: its host changes nothing. */
export const readOnlyContext = (lab: Lab, steps: readonly LabStep[]): Context => ({
  lab,
  needs: needsOf(steps),
  places: [],
  signal: new AbortController().signal,
  source: { kind: 'auto' },
  memo: memoize(),
  host: createHosts({ dryRun: true, owned: new Set() })({ record: () => {}, tell: () => {} }),
  progress: () => {},
});
