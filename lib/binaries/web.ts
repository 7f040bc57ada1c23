import { AbortError as Final, default as pRetry } from 'p-retry';
import { EnvHttpProxyAgent, interceptors, request } from 'undici';
import { reasonOf, UserError } from '../engine/errors.ts';

/**
 * Limits of a download. Milliseconds: `stall` without a byte until a connection is given up, `firstRetry` before the
 * first retry (doubled each time); then the number of retries.
 */
export interface RetryPolicy {
  readonly stall: number;
  readonly firstRetry: number;
  readonly retries: number;
}
export const retryPolicy: RetryPolicy = { stall: 20_000, firstRetry: 500, retries: 6 };

/** Makes an agent that honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in upper or lower case. */
const connections = (stall: number) =>
  new EnvHttpProxyAgent({ connect: { timeout: stall }, headersTimeout: stall, bodyTimeout: stall });

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
    const end = () => reject(signal?.aborted ? signal.reason : new Error(`no answer within ${stall / 1000} s`));
    either.addEventListener('abort', end, { once: true });
  });
  const dispatcher = agent.compose(interceptors.redirect({ maxRedirections: 5 }));
  return Promise.race([request(url, { ...options, dispatcher, ...(signal && { signal }) }), ended]);
};

/** Runs `work` with an agent whose connections are closed when it ends or fails. */
export const withAgent = async <T>(stall: number, work: (agent: EnvHttpProxyAgent) => Promise<T>): Promise<T> => {
  const agent = connections(stall);
  try {
    return await work(agent);
  } finally {
    agent.destroy().catch(() => undefined);
  }
};

/**
 * Runs `attempt` until it succeeds, with growing pauses, at most `limits.retries` + 1 times. A UserError is final.
 * Throws a UserError with the last reason.
 */
export const withRetries = async <T>(
  url: string,
  limits: RetryPolicy,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> => {
  try {
    return await pRetry(
      async () => {
        try {
          return await attempt();
        } catch (thrown) {
          // p-retry does not retry a TypeError; undici throws none for a network error.
          throw thrown instanceof UserError ? new Final(thrown) : thrown;
        }
      },
      {
        retries: limits.retries,
        minTimeout: limits.firstRetry,
        maxTimeout: 10_000,
        ...(signal && { signal }),
      },
    );
  } catch (thrown) {
    signal?.throwIfAborted();
    if (thrown instanceof UserError) throw thrown;
    throw new UserError(
      `${url} cannot be fetched: ${reasonOf(thrown)} (tried ${limits.retries + 1} times)`,
      'run the same command again, it goes on where it stopped; behind a proxy set HTTPS_PROXY; without these sites: --source go',
    );
  }
};
