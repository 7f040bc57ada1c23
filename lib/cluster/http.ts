import { readFile } from 'node:fs/promises';
import { request as plain } from 'node:http';
import { request as secure } from 'node:https';

export interface Credentials {
  /** Paths of PEM files. */
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

const readOptional = (path: string | undefined) => (path === undefined ? undefined : readFile(path));

/**
 * One small request to a component on this machine; the body as text. Throws what a check can show as its reason:
 * connection refused, a TLS error, or the status and the body. `patience` in milliseconds.
 */
export const ask = async (
  url: string,
  { credentials, body, patience = 5_000 }: { credentials?: Credentials; body?: string; patience?: number } = {},
): Promise<string> => {
  const [ca, cert, key] = await Promise.all(
    [credentials?.ca, credentials?.cert, credentials?.key].map((path) => readOptional(path)),
  );
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  const options = { method: body === undefined ? 'GET' : 'POST', timeout: patience, agent: false, ...tls };
  return new Promise((resolve, reject) => {
    const asked = (url.startsWith('https:') ? secure : plain)(url, options);
    asked.on('timeout', () => asked.destroy(new Error(`no answer from ${url} in ${patience / 1000} s`)));
    asked.on('error', reject);
    asked.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`${url} answers ${response.statusCode}: ${text.trim().slice(0, 300)}`));
      });
    });
    asked.end(body);
  });
};
