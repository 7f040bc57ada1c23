import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMilliseconds } from '../host/proc.ts';
import { isBlind, reasonOf } from './errors.ts';

/**
 * Looks once and throws the reason when the check's phrase is not true. The signal ends it when it takes too long, or
 * when the run ends.
 */
export type Probe<Subject> = (subject: Subject, signal: AbortSignal) => Promise<void>;

/** A check: a phrase that completes "waiting: ...", and its probe. */
export interface Check<Subject> {
  readonly phrase: string;
  readonly probe: Probe<Subject>;
  /** True for a check that later steps do not need: the run waits for it at its end. */
  readonly deferred?: true;
}

export const check = <Subject>(phrase: string, probe: Probe<Subject>): Check<Subject> => ({ phrase, probe });

/** Makes a check that later steps do not need: the run waits for it at its end. */
export const deferredCheck = <Subject>(phrase: string, probe: Probe<Subject>): Check<Subject> => ({
  ...check(phrase, probe),
  deferred: true,
});

/** A check that did not pass in time, with the last reason it gave. */
export interface Failure {
  readonly phrase: string;
  readonly reason: string;
  /** True where nobody could look, so that the phrase may be true. */
  readonly blind?: true;
}

/** Milliseconds after which a probe that has neither passed nor thrown counts as failed. */
const probeTimeoutMs = 30_000;

/** Runs work until it ends, `limitMs` have passed or `outer` is aborted, even if the work ignores its signal. */
export const within = <Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  { limitMs, outer }: { limitMs: number; outer?: AbortSignal },
): Promise<Result> => {
  const limit = AbortSignal.timeout(limitMs);
  const signal = outer ? AbortSignal.any([outer, limit]) : limit;
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(outer?.aborted ? outer.reason : new Error(`no answer in ${limitMs / 1000} s`));
    signal.addEventListener('abort', giveUp, { once: true });
    work(signal).then(resolve, (error) => (limit.aborted ? giveUp() : reject(error)));
  });
};

/**
 * Runs every check once, all at the same time, and returns the failures in the order of the checks. None takes longer
 * than `limitMs`. Throws the reason of `signal` when that is aborted.
 */
export const runChecks = async <Subject>(
  checks: readonly Check<Subject>[],
  subject: Subject,
  { signal = new AbortController().signal, limitMs = probeTimeoutMs } = {},
): Promise<Failure[]> => {
  const outcomes = await Promise.all(
    checks.map(async ({ phrase, probe }) => {
      try {
        await within((limit) => probe(subject, limit), { limitMs, outer: signal });
        return [];
      } catch (error) {
        return [{ phrase, reason: reasonOf(error), ...(isBlind(error) && { blind: true as const }) }];
      }
    }),
  );
  signal.throwIfAborted();
  return outcomes.flat();
};

/**
 * Returns the milliseconds to wait after a failed probe: `interval`, or as long as the probe computed if that is
 * longer, so that on a slow machine probes take at most half of the CPU. Time in which the probe itself only waited
 * does not count.
 */
export const pauseAfter = (cost: {
  readonly interval: number;
  readonly elapsed: number;
  readonly cpu: number;
}): number => Math.max(cost.interval, Math.min(cost.elapsed, cost.cpu));

export interface WaitOptions {
  /** Least milliseconds between two probes. */
  readonly interval: number;
  /** Milliseconds after which waiting ends with the last reason. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  /** Called whenever the reason changes. */
  readonly waiting: (failure: Failure) => void;
  /** Called at most every 500 ms; throws when the process has ended, because the check can no longer pass. */
  readonly failFast: () => Promise<void>;
}

/**
 * Waits until every check has passed, one after the other. Returns undefined then, or at the deadline the failing check
 * with its last reason. Throws what `failFast` throws, and the signal's reason when aborted.
 */
export const waitFor = async <Subject>(
  checks: readonly Check<Subject>[],
  subject: Subject,
  { interval, deadline, signal, waiting, failFast }: WaitOptions,
): Promise<Failure | undefined> => {
  const end = performance.now() + deadline;
  let nextFailFast = performance.now() + 300;
  for (const one of checks) {
    let told: string | undefined;
    for (;;) {
      signal.throwIfAborted();
      const begin = { at: performance.now(), cpu: cpuMilliseconds() };
      const [failure] = await runChecks([one], subject, { signal });
      if (!failure) break;
      if (failure.reason !== told) waiting(failure);
      told = failure.reason;
      const now = performance.now();
      if (now > end) return failure;
      if (now > nextFailFast) {
        await failFast();
        nextFailFast = now + 500;
      }
      const pause = pauseAfter({ interval, elapsed: now - begin.at, cpu: cpuMilliseconds() - begin.cpu });
      await sleep(pause, undefined, { signal });
    }
  }
  return undefined;
};

/** Waits until `probe` stops throwing; throws its last reason when the deadline (milliseconds) has passed. */
export const until = async (
  phrase: string,
  probe: (signal: AbortSignal) => Promise<void>,
  { signal, deadline }: { signal: AbortSignal; deadline: number },
): Promise<void> => {
  const failure = await waitFor([check(phrase, (_, limit) => probe(limit))], undefined, {
    interval: 50,
    deadline,
    signal,
    waiting: () => {},
    failFast: async () => {},
  });
  if (failure) throw new Error(`${phrase}: ${failure.reason}`);
};
