import { randomBytes } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer as createProxyServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fetchVerified, publishedSum, silenceOf } from '../../../lib/binaries/download.ts';
import type { FileProgress } from '../../../lib/binaries/progress.ts';
import { UserError } from '../../../lib/engine/errors.ts';
import { scratchFolder } from '../../fixtures.ts';
import {
  type Answer,
  cut,
  ignoresRange,
  liesShort,
  type Site,
  stall,
  startSite,
  status,
  sumOf,
  whole,
} from './server.ts';
import { authority, certificateFor, serveTls } from './tls.ts';

const data = randomBytes(300_000);
const limits = { stall: 300, firstRetry: 1, retries: 3 };
const url = 'https://dl.example/file';

let site: Site;
let folder: string;
let path: string;
let told: FileProgress[];

beforeEach(async () => {
  site = await startSite();
  vi.stubEnv('HARDWAY_MIRROR', site.url);
  const scratch = await scratchFolder();
  folder = scratch.path;
  path = join(folder, 'file.part');
  told = [];
  return scratch.remove;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await site.close();
});

const serve = (...list: Answer[]) => site.answers.set('/dl.example/file', list);
const fetchFile = (sha256 = sumOf(data), signal?: AbortSignal) =>
  fetchVerified('file', url, sha256, path, { report: (p) => told.push(p), limits, signal });
const got = () => readFile(path);

describe('a download arrives whole', () => {
  test('from a good server, and tells bytes and speed', async () => {
    serve(whole(data));
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
    expect(told.at(-1)).toMatchObject({ state: 'downloading', bytes: data.length, total: data.length });
  });

  test('from a server that cuts the connection: it goes on from where it stopped', async () => {
    serve(cut(data, path), whole(data));
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
    expect(site.asked[1]).toMatch(/^GET \/dl\.example\/file bytes=[1-9]\d*-$/);
  });

  test('from a server that stalls', async () => {
    serve(stall(data), whole(data));
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
    expect(site.asked).toHaveLength(2);
  });

  test('from a server that cuts and then ignores Range', async () => {
    serve(cut(data, path), ignoresRange(data));
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
  });

  test('from a server that fails at first', async () => {
    serve(status(503), status(429), whole(data));
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
  });

  test('from a server that cuts the connection more often than it is asked in vain', async () => {
    serve(...Array.from({ length: 8 }, () => cut(data, path)), whole(data));
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
    expect(site.asked.length).toBeGreaterThan(limits.retries + 1);
  });

  test('from a server that asks for a pause, which is kept and told', async () => {
    serve(status(429, { 'retry-after': '1' }), whole(data));
    const begun = performance.now();
    await fetchFile();
    expect(performance.now() - begun).toBeGreaterThan(990);
    expect(told.filter(({ state }) => state === 'waiting')).toEqual([
      { name: 'file', state: 'waiting', words: `${new URL(site.url).host} answered 429; again in 1 s (2 of 4)` },
    ]);
  });

  test('in a later run, which asks for nothing where all of it is there', async () => {
    await writeFile(path, data);
    await fetchFile();
    expect(site.asked).toEqual([]);
  });

  test('in a later run, from the bytes that an earlier one left', async () => {
    await writeFile(path, data.subarray(0, 1000));
    serve(whole(data));
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
    expect(site.asked).toEqual(['GET /dl.example/file bytes=1000-']);
  });

  test('though an earlier run left bytes of another file', async () => {
    await writeFile(path, randomBytes(1000));
    serve(whole(data));
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
  });

  test('though an earlier run left more than the file has', async () => {
    await writeFile(path, randomBytes(data.length + 1));
    serve(whole(data));
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
  });

  test('through a redirect', async () => {
    serve((_request, response) => response.writeHead(302, { location: '/elsewhere' }).end());
    site.answers.set('/elsewhere', [whole(data)]);
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
  });

  test('through the proxy that HTTP_PROXY names, and past it for what NO_PROXY names', async () => {
    const proxy = await startSite();
    const environment = (no: string) => {
      for (const [name, value] of Object.entries({ http_proxy: proxy.url, no_proxy: no })) {
        vi.stubEnv(name, value);
        vi.stubEnv(name.toUpperCase(), value);
      }
    };
    serve(whole(data));
    environment('');
    await fetchFile();
    expect(proxy.asked).toEqual([`CONNECT ${new URL(site.url).host}`]);
    environment('127.0.0.1');
    await rm(path);
    await fetchFile();
    expect((await got()).equals(data)).toBe(true);
    expect(proxy.asked).toHaveLength(1);
    await proxy.close();
  });
});

describe('what arrives wrong is refused, removed and named', () => {
  const gone = () => expect(stat(path)).rejects.toThrow('ENOENT');

  test('a wrong file: both checksums are named', async () => {
    const wrong = randomBytes(1000);
    serve(whole(wrong));
    const error = await fetchFile().catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(sumOf(wrong));
    expect(error.message).toContain(sumOf(data));
    expect(error.next).toContain('--source go');
    await gone();
    expect(site.asked).toHaveLength(1);
  });

  test('a web page in place of the file, as login pages send it', async () => {
    serve(whole(Buffer.from('<!DOCTYPE html><title>Log in</title>')));
    await expect(fetchFile()).rejects.toThrow('a web page');
    await gone();
  });

  test('a file whose server lies about its length', async () => {
    serve(liesShort(data));
    await expect(fetchFile()).rejects.toThrow(sumOf(data));
    await gone();
  });
});

describe('what does not arrive is told', () => {
  test('a file that is not there, without asking again', async () => {
    serve(status(404));
    await expect(fetchFile()).rejects.toThrow(/file cannot be fetched: the server answered 404/);
    expect(site.asked).toHaveLength(1);
  });

  test('a server that never sends it all: what has come is kept for the next run', async () => {
    serve(cut(data, path));
    await expect(fetchFile()).rejects.toThrow(/tried 4 times/);
    expect((await stat(path)).size).toBeGreaterThan(0);
  });

  test('a proxy that takes the connection and says nothing', async () => {
    const proxy = createServer(() => undefined);
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    for (const name of ['http_proxy', 'HTTP_PROXY']) {
      vi.stubEnv(name, `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    }
    for (const name of ['no_proxy', 'NO_PROXY']) vi.stubEnv(name, '');
    await expect(fetchFile()).rejects.toThrow(/no answer within 0.3 s/);
    proxy.close();
  });

  test('a proxy that wants a password', async () => {
    serve(status(407));
    expect((await fetchFile().catch((thrown) => thrown)).next).toContain('HTTPS_PROXY');
  });

  test('a proxy that wants a password before it connects: it is asked once', async () => {
    const proxy = createProxyServer();
    let asked = 0;
    proxy.on('connect', (_request, client) => {
      asked += 1;
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    for (const name of ['http_proxy', 'HTTP_PROXY'])
      vi.stubEnv(name, `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    for (const name of ['no_proxy', 'NO_PROXY']) vi.stubEnv(name, '');
    const error = await fetchFile().catch((thrown) => thrown);
    expect(error.message).toContain('the proxy wants a name and a password');
    expect(error.next).toContain('sudo HTTPS_PROXY=http://NAME:PASSWORD@');
    expect(asked).toBe(1);
    proxy.close();
  });

  const own = ['127.0.0.1'];
  for (const [kind, signed, words] of [
    [
      'not of today yet',
      certificateFor(own, { from: 300, to: 400 }),
      /is not valid yet: the clock of this machine says \d/,
    ],
    [
      'no more of today',
      certificateFor(own, { from: -400, to: -300 }),
      /has expired: the clock of this machine says \d/,
    ],
    ['of a CA that nobody here knows', certificateFor(own, { of: 'unknown' }), /a CA that is not known here/],
    ['of another site', certificateFor(['login.example']), /the certificate of another site/],
  ] as const)
    test(`a site whose certificate is ${kind}: it is asked once`, async () => {
      const known = getCACertificates('default');
      setDefaultCACertificates([authority()]);
      const tls = await serveTls(signed);
      vi.stubEnv('HARDWAY_MIRROR', tls.url);
      await expect(fetchFile()).rejects.toThrow(words);
      expect(tls.asked()).toBe(1);
      await tls.close();
      setDefaultCACertificates(known);
    });

  test('an end by the person, at once and as itself', async () => {
    const person = new AbortController();
    serve((request, response) => {
      stall(data)(request, response);
      person.abort(new Error('Ctrl-C'));
    });
    await expect(fetchFile(sumOf(data), person.signal)).rejects.toThrow('Ctrl-C');
    expect(site.asked).toHaveLength(1);
  });
});

describe('the checksum beside a file', () => {
  const sums = (text: string) => site.answers.set('/dl.example/file.sha256', [whole(Buffer.from(text))]);

  test('is read with or without a file name after it', async () => {
    sums(`${sumOf(data)}\n`);
    expect(await publishedSum(url, { report: (p) => told.push(p), limits })).toBe(sumOf(data));
    sums(`${sumOf(data)}  file\n`);
    expect(await publishedSum(url, { report: (p) => told.push(p), limits })).toBe(sumOf(data));
  });

  test('that is none is refused', async () => {
    sums('<html>not found</html>');
    await expect(publishedSum(url, { report: (p) => told.push(p), limits })).rejects.toThrow('not a SHA-256 checksum');
  });
});

describe('the probe', () => {
  test('finds a site that answers', async () => {
    serve(whole(data));
    expect(await silenceOf(url, undefined)).toBeUndefined();
    expect(site.asked).toEqual(['HEAD /dl.example/file']);
  });

  test('gives up on one that says nothing', async () => {
    serve(() => undefined);
    expect(await silenceOf(url, undefined, 200)).toContain('no answer within 0.2 s');
  });

  test('gives up on one that is not there', async () => {
    await site.close();
    expect(await silenceOf(url, undefined)).toContain('ECONNREFUSED');
    site = await startSite();
  });
});
