import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UserError } from '../engine/errors.ts';
import { isSecureUrl } from '../engine/settings.ts';
import { sha256OfFile } from '../host/files.ts';
import { withDiskSpace } from './cache.ts';
import type { Report } from './progress.ts';
import { type HttpRequest, type RetryPolicy, retryPolicy, sendRequest, withAgent, withRetries } from './web.ts';

/**
 * Returns the address to ask instead of an upstream one: HARDWAY_MIRROR=https://mirror/path serves https://dl.k8s.io/x
 * as https://mirror/path/dl.k8s.io/x. Throws a UserError for plain http beyond this machine, because checksums that are
 * published beside a file are fetched the same way.
 */
export const mirrored = (url: string): string => {
  const mirror = process.env['HARDWAY_MIRROR'];
  if (!mirror) return url;
  if (!isSecureUrl(mirror)) {
    throw new UserError(
      `HARDWAY_MIRROR is '${mirror}', which is not an https address`,
      'HARDWAY_MIRROR=https://mirror.example/path',
    );
  }
  const { host, pathname } = new URL(url);
  return `${mirror.replace(/\/$/, '')}/${host}${pathname}`;
};

/**
 * Tells whether a site answers a HEAD request within `within` milliseconds. A registry may answer 401, which asks for a
 * token.
 */
export const answers = async (address: string, signal: AbortSignal | undefined, within = 3000): Promise<boolean> => {
  const url = mirrored(address);
  try {
    const { statusCode } = await withAgent(within, (agent) =>
      sendRequest({ url, agent, stall: within, signal }, { method: 'HEAD' }),
    );
    return statusCode < 400 || statusCode === 401;
  } catch {
    signal?.throwIfAborted();
    return false;
  }
};

/** Throws unless the status announces a body to read: a UserError where a retry is useless. */
const checkStatus = (url: string, status: number): void => {
  if (status === 200 || status === 206) return;
  if (status >= 500 || status === 429 || status === 408) throw new Error(`the server answered ${status}`);
  throw new UserError(
    `${url} cannot be fetched: the server answered ${status}`,
    status === 407
      ? 'write name and password into HTTPS_PROXY (http://NAME:PASSWORD@proxy:3128)'
      : 'check HTTPS_PROXY and HARDWAY_MIRROR, or build it here: --source go',
  );
};

/**
 * Fetches the checksum that a site publishes beside a file. Throws a UserError when there is none or it is malformed.
 */
export const publishedSum = async (url: string, signal?: AbortSignal, limits = retryPolicy): Promise<string> => {
  const from = mirrored(`${url}.sha256`);
  const text = await withAgent(limits.stall, (agent) =>
    withRetries(from, limits, signal, async () => {
      const { statusCode, body } = await sendRequest({ url: from, agent, stall: limits.stall, signal }, {});
      checkStatus(from, statusCode);
      return body.text();
    }),
  );
  const sum = /^[0-9a-f]{64}\b/i.exec(text.trim());
  if (!sum)
    throw new UserError(
      `${from} is not a SHA-256 checksum: '${text.slice(0, 40)}'`,
      'check HTTPS_PROXY and HARDWAY_MIRROR, or use --source go',
    );
  return sum[0].toLowerCase();
};

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

/** Downloads the missing part of a file. Returns true if it resumed an earlier attempt. */
const resumeDownload = async (
  from: HttpRequest,
  path: string,
  wanted: Record<string, string>,
  onBytes: (bytes: number, total: number | undefined) => void,
): Promise<boolean> => {
  const { url, signal } = from;
  const have = await sizeOf(path);
  const range: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
  const { statusCode, headers, body } = await sendRequest(from, { headers: { ...wanted, ...range } });
  const resumed = statusCode === 206;
  if (statusCode === 416 || (resumed && !`${headers['content-range']}`.startsWith(`bytes ${have}-`))) {
    await body.dump();
    await rm(path, { force: true });
    throw new Error('what an earlier attempt left does not fit the file');
  }
  checkStatus(url, statusCode);
  let bytes = resumed ? have : 0;
  const length = Number(headers['content-length']);
  const total = Number.isFinite(length) ? bytes + length : undefined;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, next) {
      bytes += chunk.length;
      onBytes(bytes, total);
      next(null, chunk);
    },
  });
  await pipeline(body, count, createWriteStream(path, { flags: resumed ? 'a' : 'w' }), signal ? { signal } : {});
  return resumed;
};

/**
 * Tells whether a file begins like a web page: a proxy or the login page of a network may send one instead of the file.
 */
const isWebPage = async (path: string): Promise<boolean> => {
  for await (const chunk of createReadStream(path, { end: 63, encoding: 'utf8' }))
    return /^\s*<(!doctype|html|\?xml)/i.test(chunk);
  return false;
};

interface FetchOptions {
  readonly report: Report;
  readonly signal?: AbortSignal | undefined;
  readonly limits?: RetryPolicy;
  /** Headers of each attempt, such as a token that expires. */
  readonly headers?: () => Promise<Record<string, string>>;
}

/**
 * Downloads `from` into `path` without HARDWAY_MIRROR, resumes an earlier attempt, and verifies the whole file. Throws
 * a UserError: with the file removed when its checksum is wrong, with the file kept when the network fails.
 */
export const fetchExactly = async (
  name: string,
  from: string,
  sha256: string,
  path: string,
  { report, signal, limits = retryPolicy, headers = async () => ({}) }: FetchOptions,
): Promise<void> => {
  const begun = { at: performance.now(), bytes: await sizeOf(path) };
  let told = 0;
  const onBytes = (bytes: number, total: number | undefined) => {
    const now = performance.now();
    if (now - told < 200 && bytes !== total) return;
    told = now;
    const bytesPerSecond = Math.max(0, Math.round(((bytes - begun.bytes) / Math.max(now - begun.at, 1)) * 1000));
    report({ name, state: 'downloading', bytes, ...(total !== undefined && { total }), bytesPerSecond });
  };
  const attempt = (agent: HttpRequest['agent']) => async () => {
    const resumed = await resumeDownload(
      { url: from, agent, stall: limits.stall, signal },
      path,
      await headers(),
      onBytes,
    );
    const actual = await sha256OfFile(path);
    if (actual === sha256) return;
    const page = await isWebPage(path);
    await rm(path, { force: true });
    // The two parts come from different files, for example after a change of mirror: a new download may succeed.
    if (resumed) throw new Error('the parts do not make up the published file');
    throw new UserError(
      `${from} is not the published file${page ? ' but a web page' : ''}: its SHA-256 is ${actual}, it should be ${sha256}; it was removed`,
      'run the same command again; if it stays so, something on the way changes files: check HTTPS_PROXY and HARDWAY_MIRROR, or use --source go',
    );
  };
  await withAgent(limits.stall, (agent) =>
    withRetries(from, limits, signal, () => withDiskSpace(`downloading ${name}`, path, attempt(agent))),
  );
};

/** Downloads as fetchExactly does, through HARDWAY_MIRROR where it is set. */
export const fetchVerified = (
  name: string,
  url: string,
  sha256: string,
  path: string,
  options: FetchOptions,
): Promise<void> => fetchExactly(name, mirrored(url), sha256, path, options);
