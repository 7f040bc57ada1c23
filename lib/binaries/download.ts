import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { UserError } from '../engine/errors.ts';
import { isSecureUrl } from '../engine/settings.ts';
import { lookUpWithin } from '../host/names.ts';
import { onDisk } from './cache.ts';
import { causeOf } from './causes.ts';
import type { FileProgress } from './progress.ts';
import {
  askLater,
  type HttpRequest,
  type RetryPolicy,
  retryPolicy,
  sendRequest,
  withAgent,
  withRetries,
} from './web.ts';

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

/** Milliseconds in which a site must answer: the C library alone asks for a name again after 5 s. */
const probeMs = 10_000;

/**
 * Sends a HEAD request and returns the answer's size in bytes, undefined where the site does not say it. Throws an error
 * with the cause where the site does not answer within `within` milliseconds, or not well. A registry may answer 401,
 * which asks for a token.
 */
export const probe = async (
  address: string,
  signal: AbortSignal | undefined,
  within = probeMs,
): Promise<number | undefined> => {
  const url = mirrored(address);
  const { statusCode, headers } = await withAgent(within, (agent) =>
    sendRequest({ url, agent, stall: within, signal }, { method: 'HEAD' }),
  );
  const site = new URL(url).host;
  if (statusCode >= 400 && statusCode !== 401) throw new Error(`${site} answered ${statusCode}`);
  const length = Number(headers['content-length']);
  return Number.isFinite(length) && length > 0 ? length : undefined;
};

/**
 * Asks a site twice, and returns why it does not answer, for a person; undefined where it does. `within` are the
 * milliseconds of each attempt.
 */
export const silenceOf = async (
  address: string,
  signal: AbortSignal | undefined,
  within = probeMs,
): Promise<string | undefined> => {
  const ask = (): Promise<string | undefined> =>
    probe(address, signal, within).then(
      () => undefined,
      (thrown: unknown) => {
        signal?.throwIfAborted();
        const url = mirrored(address);
        return causeOf(thrown, url).words;
      },
    );
  return (await ask()) && ask();
};

/** What a site answered to a HEAD request, or why it did not. */
export interface Answer {
  readonly url: string;
  /** Time of this machine when the answer was there, and that of the site (RFC 9110, Date), in milliseconds. */
  readonly at: number;
  readonly date?: number;
  readonly status?: number;
  /** Set where there was no answer, with the code of the error. */
  readonly problem?: string;
  readonly code?: string;
}

/** Tells whether an answer says that files can be had there. A registry may answer 401, which asks for a token. */
export const isGood = ({ status }: Answer): boolean => status !== undefined && (status < 400 || status === 401);

/**
 * Sends one HEAD request without HARDWAY_MIRROR and returns what became of it within `limit` milliseconds; nothing of it
 * goes on after that. Throws only the reason of the signal.
 */
export const ask = async (url: string, signal: AbortSignal | undefined, limit = 3000): Promise<Answer> => {
  try {
    const { statusCode: status, headers } = await withAgent(
      limit,
      (agent) => sendRequest({ url, agent, stall: limit, signal }, { method: 'HEAD' }),
      lookUpWithin(limit),
    );
    // A cache on the way tells how long it has had the answer.
    const date = Date.parse(`${headers['date']}`) + 1000 * (Number(headers['age']) || 0);
    return { url, at: Date.now(), status, ...(Number.isFinite(date) && { date }) };
  } catch (thrown) {
    signal?.throwIfAborted();
    const { code } = thrown as NodeJS.ErrnoException;
    return { url, at: Date.now(), problem: causeOf(thrown, url).words, ...(code && { code }) };
  }
};

/** Throws unless the status announces a body to read: a UserError where a retry is useless. */
const checkStatus = (url: string, status: number, headers: Record<string, unknown>): void => {
  if (status === 200 || status === 206) return;
  const later = askLater(`${new URL(url).host} answered ${status}`, status, headers);
  if (later) throw later;
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
export const publishedSum = async (
  url: string,
  { report, signal, limits = retryPolicy }: Omit<FetchOptions, 'headers'>,
): Promise<string> => {
  const from = mirrored(`${url}.sha256`);
  const text = await withAgent(limits.stall, (agent) =>
    withRetries({
      url: from,
      limits,
      signal,
      onPause: (words) => report({ name: from, state: 'waiting', words }),
      attempt: async () => {
        const { statusCode, headers, body } = await sendRequest({ url: from, agent, stall: limits.stall, signal }, {});
        checkStatus(from, statusCode, headers);
        return body.text();
      },
    }),
  );
  const sum = /^[0-9a-f]{64}\b/i.exec(text.trim());
  if (!sum)
    throw new UserError(
      `${from} is not a SHA-256 checksum: '${text.slice(0, 40)}'`,
      'log in to the network where it has a login page; check HTTPS_PROXY and HARDWAY_MIRROR, or use --source go',
    );
  return sum[0].toLowerCase();
};

/** The beginning of a file that has come, and its checksum so far: no byte is hashed twice. */
interface Part {
  bytes: number;
  hash: Hash;
}

/** Reads what an earlier run left of a file. */
const readPart = async (path: string): Promise<Part> => {
  const part = { bytes: 0, hash: createHash('sha256') };
  try {
    for await (const chunk of createReadStream(path)) {
      part.hash.update(chunk as Buffer);
      part.bytes += (chunk as Buffer).length;
    }
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
  return part;
};

const begin = async (path: string, part: Part): Promise<void> => {
  await rm(path, { force: true });
  part.bytes = 0;
  part.hash = createHash('sha256');
};

/**
 * Downloads the missing part of a file, and adds it to `part` as it is written. Returns true if it went on from an
 * earlier attempt.
 */
const resumeDownload = async (
  from: HttpRequest,
  path: string,
  part: Part,
  wanted: Record<string, string>,
  onBytes: (bytes: number, total: number | undefined) => void,
): Promise<boolean> => {
  const { url, signal } = from;
  const have = part.bytes;
  const range: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
  const { statusCode, headers, body } = await sendRequest(from, { headers: { ...wanted, ...range } });
  const resumed = statusCode === 206;
  if (statusCode === 416 || (resumed && !`${headers['content-range']}`.startsWith(`bytes ${have}-`))) {
    await body.dump();
    await begin(path, part);
    throw new Error('what an earlier attempt left does not fit the file');
  }
  checkStatus(url, statusCode, headers);
  if (!resumed) await begin(path, part);
  const length = Number(headers['content-length']);
  const total = Number.isFinite(length) ? part.bytes + length : undefined;
  const file = await open(path, 'a');
  try {
    for await (const chunk of body) {
      signal?.throwIfAborted();
      await file.appendFile(chunk as Buffer);
      part.hash.update(chunk as Buffer);
      part.bytes += (chunk as Buffer).length;
      onBytes(part.bytes, total);
    }
  } finally {
    await file.close();
  }
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

export interface FetchOptions {
  readonly report: (progress: FileProgress) => void;
  readonly signal?: AbortSignal | undefined;
  readonly limits?: RetryPolicy;
  /** Headers of each attempt, such as a token that expires. */
  readonly headers?: () => Promise<Record<string, string>>;
}

/** Throws where a file is not the published one, and removes it: a plain Error where its parts came at several times. */
const refuseOther = async (
  from: string,
  path: string,
  { part, sha256, resumed }: { readonly part: Part; readonly sha256: string; readonly resumed: boolean },
): Promise<void> => {
  const actual = part.hash.copy().digest('hex');
  if (actual === sha256) return;
  const page = await isWebPage(path);
  await begin(path, part);
  // The two parts come from different files, for example after a change of mirror: a new download may succeed.
  if (resumed) throw new Error('the parts do not make up the published file');
  throw new UserError(
    `${from} is not the published file${page ? ' but a web page' : ''}: its SHA-256 is ${actual}, it should be ${sha256}; it was removed`,
    page
      ? 'log in to the network where it has a login page, or check HTTPS_PROXY and HARDWAY_MIRROR; then run the same command again'
      : 'run the same command again; if it stays so, something on the way changes files: check HTTPS_PROXY and HARDWAY_MIRROR, or use --source go',
  );
};

/** Least milliseconds between two reports of one file. */
const reportMs = 200;

/**
 * Downloads `from` into `path` without HARDWAY_MIRROR, resumes an earlier attempt, and verifies the whole file. Asks for
 * nothing where an earlier run has left all of it. Throws a UserError: with the file removed when its checksum is wrong,
 * with the file kept when the network fails.
 */
export const fetchExactly = async (
  name: string,
  from: string,
  sha256: string,
  path: string,
  { report, signal, limits = retryPolicy, headers = async () => ({}) }: FetchOptions,
): Promise<void> => {
  const part = await readPart(path);
  const left = part.bytes;
  if (left > 0 && part.hash.copy().digest('hex') === sha256)
    return report({ name, state: 'downloading', bytes: left, total: left, left });
  let most = left;
  let told = 0;
  const onBytes = (bytes: number, total: number | undefined): void => {
    const now = performance.now();
    if (now - told < reportMs && bytes !== total) return;
    told = now;
    report({ name, state: 'downloading', bytes, left, ...(total !== undefined && { total }) });
  };
  const attempt = (agent: HttpRequest['agent']) => async () => {
    const request = { url: from, agent, stall: limits.stall, signal };
    const resumed = await resumeDownload(request, path, part, await headers(), onBytes);
    await refuseOther(from, path, { part, sha256, resumed });
  };
  await withAgent(limits.stall, (agent) =>
    withRetries({
      url: from,
      limits,
      signal,
      broughtBytes: () => {
        const brought = part.bytes > most;
        most = Math.max(most, part.bytes);
        return brought;
      },
      onPause: (words) => report({ name, state: 'waiting', words }),
      attempt: () => onDisk(`downloading ${name}`, path, attempt(agent)),
    }),
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
