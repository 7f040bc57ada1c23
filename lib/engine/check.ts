import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from './errors.ts';

/** A phrase that completes "waiting: ..." and a look at the real thing that throws why it is not so. */
export interface Check<Subject> {
  readonly phrase: string;
  readonly probe: (subject: Subject) => Promise<void>;
  /** The steps that follow do not rest on it: it is waited for when they are done. */
  readonly deferred?: true;
}

export const check = <Subject>(phrase: string, look: (subject: Subject) => Promise<void>): Check<Subject> => ({
  phrase,
  probe: look,
});

/** A check that the steps which follow need not wait for. */
export const deferredCheck = <Subject>(phrase: string, look: (subject: Subject) => Promise<void>): Check<Subject> => ({
  ...check(phrase, look),
  deferred: true,
});

/** A check that did not pass in time, with the last reason it gave. */
export interface Failure {
  readonly phrase: string;
  readonly reason: string;
}

/** Looks once at every check, all at the same time; returns those that fail, in their order. */
export const runChecks = async <Subject>(checks: readonly Check<Subject>[], subject: Subject): Promise<Failure[]> => {
  const outcomes = await Promise.all(
    checks.map(async ({ phrase, probe: look }) => {
      try {
        await look(subject);
        return [];
      } catch (error) {
        return [{ phrase, reason: reasonOf(error) }];
      }
    }),
  );
  return outcomes.flat();
};

export interface WaitOptions {
  /** Milliseconds between two looks. */
  readonly interval: number;
  /** Milliseconds after which the last reason is the answer. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  /** Told whenever the reason changes. */
  readonly waiting: (failure: Failure) => void;
  /** Looked at twice a second: throws when waiting on is useless, because the process is dead. */
  readonly failFast: () => Promise<void>;
}

/**
 * Waits until each check has passed, one after the other. Returns the failure that the deadline found, with the
 * last reason, or undefined when all have passed. Throws what `giveUp` throws, and the signal's reason when aborted.
 */
export const waitFor = async <Subject>(
  checks: readonly Check<Subject>[],
  subject: Subject,
  { interval, deadline, signal, waiting, failFast: giveUp }: WaitOptions,
): Promise<Failure | undefined> => {
  const end = performance.now() + deadline;
  let nextFailFast = performance.now() + 300;
  for (const one of checks) {
    let told: string | undefined;
    for (;;) {
      signal.throwIfAborted();
      const begin = performance.now();
      const [failure] = await runChecks([one], subject);
      if (!failure) break;
      if (failure.reason !== told) waiting(failure);
      told = failure.reason;
      const now = performance.now();
      if (now > end) return failure;
      if (now > nextFailFast) {
        await giveUp();
        nextFailFast = now + 500;
      }
      // On a slow machine a look costs seconds: looking must not take from what is looked at more than half the time.
      await sleep(Math.max(interval, now - begin), undefined, { signal });
    }
  }
  return undefined;
};

/** Waits until `look` stops throwing; throws its last reason when the deadline (milliseconds) has passed. */
export const until = async (
  phrase: string,
  look: () => Promise<void>,
  { signal, deadline }: { signal: AbortSignal; deadline: number },
): Promise<void> => {
  const failure = await waitFor([check(phrase, look)], undefined, {
    interval: 50,
    deadline,
    signal,
    waiting: () => {},
    failFast: async () => {},
  });
  if (failure) throw new Error(`${phrase}: ${failure.reason}`);
};
