import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMilliseconds } from '../host/proc.ts';
import { reasonOf } from './errors.ts';

/** Looks at the real thing once and throws why it is not so. The signal ends it when it takes too long, or the run ends. */
export type Probe<Subject> = (subject: Subject, signal: AbortSignal) => Promise<void>;

/** A phrase that completes "waiting: ..." and its probe. */
export interface Check<Subject> {
  readonly phrase: string;
  readonly probe: Probe<Subject>;
  /** The steps that follow do not rest on it: it is waited for when they are done. */
  readonly deferred?: true;
}

export const check = <Subject>(phrase: string, probe: Probe<Subject>): Check<Subject> => ({ phrase, probe });

/** A check that the steps which follow need not wait for. */
export const deferredCheck = <Subject>(phrase: string, probe: Probe<Subject>): Check<Subject> => ({
  ...check(phrase, probe),
  deferred: true,
});

/** A check that did not pass in time, with the last reason it gave. */
export interface Failure {
  readonly phrase: string;
  readonly reason: string;
}

/** Milliseconds after which a probe has failed that has neither passed nor said why not. */
const probeTimeoutMs = 30_000;

/** Runs a probe until it ends, `limitMs` have passed or `outer` is aborted, whether it obeys its signal or not. */
const probeWithin = <Subject>(
  probe: Probe<Subject>,
  subject: Subject,
  { limitMs, outer }: { limitMs: number; outer: AbortSignal },
): Promise<void> => {
  const limit = AbortSignal.timeout(limitMs);
  const signal = AbortSignal.any([outer, limit]);
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(outer.aborted ? outer.reason : new Error(`no answer in ${limitMs / 1000} s`));
    signal.addEventListener('abort', giveUp, { once: true });
    probe(subject, signal).then(resolve, (error) => (limit.aborted ? giveUp() : reject(error)));
  });
};

/**
 * Looks once at every check, all at the same time; returns those that fail, in their order. None takes longer than
 * `limitMs`. Throws the reason of `signal` when that is aborted.
 */
export const runChecks = async <Subject>(
  checks: readonly Check<Subject>[],
  subject: Subject,
  { signal = new AbortController().signal, limitMs = probeTimeoutMs } = {},
): Promise<Failure[]> => {
  const outcomes = await Promise.all(
    checks.map(async ({ phrase, probe }) => {
      try {
        await probeWithin(probe, subject, { limitMs, outer: signal });
        return [];
      } catch (error) {
        return [{ phrase, reason: reasonOf(error) }];
      }
    }),
  );
  signal.throwIfAborted();
  return outcomes.flat();
};

/**
 * The milliseconds to wait after a failed probe: as long as it computed, so that on a slow machine probes take at most
 * half of the CPU from what they wait for. Time in which the probe itself only waited does not count.
 */
export const pauseAfter = (cost: {
  readonly interval: number;
  readonly elapsed: number;
  readonly cpu: number;
}): number => Math.max(cost.interval, Math.min(cost.elapsed, cost.cpu));

export interface WaitOptions {
  /** Milliseconds between two looks. */
  readonly interval: number;
  /** Milliseconds after which the last reason is the answer. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  /** Told whenever the reason changes. */
  readonly waiting: (failure: Failure) => void;
  /** Called at most every 500 ms; throws when the process has ended, because the check can no longer pass. */
  readonly failFast: () => Promise<void>;
}

/**
 * Waits until each check has passed, one after the other. Returns the failure that the deadline found, with the
 * last reason, or undefined when all have passed. Throws what `failFast` throws, and the signal's reason when aborted.
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
