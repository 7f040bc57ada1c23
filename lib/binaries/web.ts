import type { LookupFunction } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { EnvHttpProxyAgent, interceptors, request } from 'undici';
import { isBug, UserError } from '../engine/errors.ts';
import { causeOf } from './causes.ts';

/**
 * Limits of a download. Milliseconds: `stall` without a byte until a connection is given up, `firstRetry` before the
 * first retry (doubled each time); then the number of retries that bring nothing.
 */
export interface RetryPolicy {
  readonly stall: number;
  readonly firstRetry: number;
  readonly retries: number;
}
export const retryPolicy: RetryPolicy = { stall: 20_000, firstRetry: 500, retries: 6 };

/** Most milliseconds between two attempts by our own rule, and where the server asks for a pause. */
const longestPause = 10_000;
const longestRetryAfter = 60_000;

/** An answer after which it is worth asking again, perhaps only after some milliseconds. */
export class AskLater extends Error {
  readonly after: number;
  constructor(message: string, after = 0) {
    super(message);
    this.after = after;
  }
}

/** Returns the milliseconds of a Retry-After header: seconds, or a date (RFC 9110, 10.2.3). */
const retryAfter = (header: unknown): number => {
  const text = `${header ?? ''}`;
  const milliseconds = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(milliseconds) ? Math.min(Math.max(milliseconds, 0), longestRetryAfter) : 0;
};

/** Returns what a status means for the next attempt; undefined where asking again is useless. */
export const askLater = (words: string, status: number, headers: Record<string, unknown>): AskLater | undefined =>
  status >= 500 || status === 429 || status === 408
    ? new AskLater(words, retryAfter(headers['retry-after']))
    : undefined;

/** Makes an agent that honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in upper or lower case. */
const connections = (stall: number, lookup: LookupFunction | undefined) => {
  const connect = { timeout: stall, ...(lookup && { lookup }) };
  return new EnvHttpProxyAgent({ connect, proxyTls: connect, headersTimeout: stall, bodyTimeout: stall });
};

export interface HttpRequest {
  readonly url: string;
  readonly agent: EnvHttpProxyAgent;
  /** Milliseconds until the answer must begin. */
  readonly stall: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Sends one request and follows redirects. undici has no time-out for a proxy that accepts a connection and stays
 * silent, and obeys a signal only once it is connected: hence the race.
 */
export const sendRequest = async (
  { url, agent, stall, signal }: HttpRequest,
  options: { method?: 'HEAD'; headers?: Record<string, string> },
) => {
  signal?.throwIfAborted();
  const either = AbortSignal.any([AbortSignal.timeout(stall), ...(signal ? [signal] : [])]);
  const ended = new Promise<never>((_, reject) => {
    const end = () =>
      reject(
        signal?.aborted ? signal.reason : new Error(`${new URL(url).host} gives no answer within ${stall / 1000} s`),
      );
    either.addEventListener('abort', end, { once: true });
  });
  const dispatcher = agent.compose(interceptors.redirect({ maxRedirections: 5 }));
  return Promise.race([request(url, { ...options, dispatcher, ...(signal && { signal }) }), ended]);
};

/** Runs `work` with an agent whose connections are closed when it ends or fails; `lookup` finds addresses of names. */
export const withAgent = async <T>(
  stall: number,
  work: (agent: EnvHttpProxyAgent) => Promise<T>,
  lookup?: LookupFunction,
): Promise<T> => {
  const agent = connections(stall, lookup);
  try {
    return await work(agent);
  } finally {
    agent.destroy().catch(() => undefined);
  }
};

export interface Attempts<T> {
  readonly url: string;
  readonly limits: RetryPolicy;
  readonly signal: AbortSignal | undefined;
  readonly attempt: () => Promise<T>;
  /** Tells whether the attempt that failed brought something: then the count begins anew. */
  readonly broughtBytes?: () => boolean;
  /** Is told before each pause why there is one: "github.com answered 429; again in 10 s (3 of 7)". */
  readonly onPause?: (words: string) => void;
}

/**
 * Returns the milliseconds to wait after the failure number `tried` in a row, and why. Throws a UserError where that was
 * the last one, or asking again is useless.
 */
const pauseAfter = (thrown: unknown, tried: number, { url, limits }: Pick<Attempts<never>, 'url' | 'limits'>) => {
  const most = limits.retries + 1;
  const { words, next, final } = causeOf(thrown, url);
  if (final || tried >= most)
    throw new UserError(`${url} cannot be fetched: ${words}${final ? '' : ` (tried ${most} times)`}`, next);
  const own = Math.min(limits.firstRetry * 2 ** Math.max(tried - 1, 0), longestPause);
  const milliseconds = Math.max(own, thrown instanceof AskLater ? thrown.after : 0);
  return { milliseconds, why: `${words}; again in ${Math.ceil(milliseconds / 1000)} s (${tried + 1} of ${most})` };
};

/**
 * Runs `attempt` until it succeeds, with growing pauses and those that the server asks for; at most `limits.retries` + 1
 * times in a row that bring nothing. A UserError is final. Throws a UserError with the last reason and what helps.
 */
export const withRetries = async <T>(attempts: Attempts<T>): Promise<T> => {
  const { signal, attempt, broughtBytes, onPause } = attempts;
  let tried = 0;
  for (;;) {
    try {
      return await attempt();
    } catch (thrown) {
      signal?.throwIfAborted();
      if (thrown instanceof UserError || isBug(thrown)) throw thrown;
      tried = broughtBytes?.() ? 0 : tried + 1;
      const { milliseconds, why } = pauseAfter(thrown, tried, attempts);
      onPause?.(why);
      await pause(milliseconds, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
    }
  }
};
