import { readFile } from 'node:fs/promises';
import { type ClientRequest, request as plain } from 'node:http';
import { request as secure } from 'node:https';

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

/**
 * Sends a request and returns its answer, whatever the status. Throws when nobody answers within the request's own
 * time-out: `whom` and `timeoutMs`, that time-out in milliseconds, appear in the message.
 */
export const answerTo = (
  asked: ClientRequest,
  { whom, timeoutMs, body }: { whom: string; timeoutMs: number; body?: string | undefined },
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    asked.on('timeout', () => asked.destroy(new Error(`no answer from ${whom} in ${timeoutMs / 1000} s`)));
    asked.on('error', reject);
    asked.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    asked.end(body);
  });

const readOptional = (path: string | undefined) => (path === undefined ? undefined : readFile(path));

/**
 * Sends one small request to a component on this machine and returns the body as text. Throws what a check can show as
 * its reason: connection refused, a TLS error, or the status and the body. `timeoutMs` in milliseconds.
 */
export const requestText = async (
  url: string,
  { credentials, body, timeoutMs = 5_000 }: { credentials?: Credentials; body?: string; timeoutMs?: number } = {},
): Promise<string> => {
  const [ca, cert, key] = await Promise.all(
    [credentials?.ca, credentials?.cert, credentials?.key].map((path) => readOptional(path)),
  );
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  const options = { method: body === undefined ? 'GET' : 'POST', timeout: timeoutMs, agent: false, ...tls };
  const asked = (url.startsWith('https:') ? secure : plain)(url, options);
  const answer = await answerTo(asked, { whom: url, timeoutMs, body });
  if (answer.status === 200) return answer.body;
  throw new Error(`${url} answers ${answer.status}: ${answer.body.trim().slice(0, 300)}`);
};
