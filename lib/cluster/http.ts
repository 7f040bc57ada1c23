import { type ClientRequest, request as plain } from 'node:http';
import { request as secure } from 'node:https';
import { readText } from '../host/files.ts';

export interface Credentials {
  /** Credentials of a client, as paths of PEM files. */
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

interface Asked {
  /** For the words of an error. */
  readonly whom: string;
  /** The request's own timeout in milliseconds, for the words as well. */
  readonly timeoutMs: number;
  /** Milliseconds until the connection has to be made; by default as long as the answer may take. */
  readonly connectTimeoutMs?: number | undefined;
  readonly body?: string | undefined;
}

/**
 * Sends a request and returns its answer, whatever the status. Throws when nobody answers within the request's own
 * time-out, or no connection is made in time.
 */
export const answerTo = (
  asked: ClientRequest,
  { whom, timeoutMs, connectTimeoutMs = timeoutMs, body }: Asked,
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const giveUp = (what: string, afterMs: number) => () =>
      asked.destroy(new Error(`no ${what} ${whom} in ${afterMs / 1000} s`));
    asked.on('timeout', giveUp('answer from', timeoutMs));
    const connecting = setTimeout(giveUp('connection to', connectTimeoutMs), connectTimeoutMs);
    asked.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => clearTimeout(connecting));
      else clearTimeout(connecting); // one that was kept alive
    });
    asked.on('close', () => clearTimeout(connecting));
    asked.on('error', reject);
    asked.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    asked.end(body);
  });

/** Trusts a CA's certificate as it is given, also that of an intermediate CA without the one above, as Go does. */
export const trustAsGiven = { allowPartialTrustChain: true } as const;

const readOptional = (path: string | undefined) => (path === undefined ? undefined : readText(path));

interface RequestOptions {
  readonly credentials?: Credentials;
  readonly body?: string;
  /** Milliseconds; the connection has them too unless it has its own. */
  readonly timeoutMs?: number;
  readonly connectTimeoutMs?: number;
}

/**
 * Sends one small request to a component on this machine and returns the body as text. Throws what a check can show as
 * its reason: connection refused, a TLS error, or the status and the body.
 */
export const requestText = async (
  url: string,
  { credentials, body, timeoutMs = 5_000, connectTimeoutMs }: RequestOptions = {},
): Promise<string> => {
  const [ca, cert, key] = await Promise.all(
    [credentials?.ca, credentials?.cert, credentials?.key].map((path) => readOptional(path)),
  );
  const tls = { ...(ca && { ca, ...trustAsGiven }), ...(cert && { cert }), ...(key && { key }) };
  const options = { method: body === undefined ? 'GET' : 'POST', timeout: timeoutMs, agent: false, ...tls };
  const asked = (url.startsWith('https:') ? secure : plain)(url, options);
  const answer = await answerTo(asked, { whom: url, timeoutMs, connectTimeoutMs, body });
  if (answer.status === 200) return answer.body;
  throw new Error(`${url} answers ${answer.status}: ${answer.body.trim().slice(0, 300)}`);
};
