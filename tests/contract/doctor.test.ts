import { createSocket } from 'node:dgram';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { judgeClock } from '../../bin/doctor/judge.ts';
import type { Subject } from '../../bin/doctor/looks.ts';
import { packed, reportTo } from '../../bin/doctor/report.ts';
import { ask } from '../../lib/binaries/download.ts';
import { askSources } from '../../lib/binaries/reach.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { flushTimes } from '../../lib/host/facts/disk.ts';
import { appArmorLog, inotifyUsage } from '../../lib/host/facts/kernel.ts';
import { faultOfNameServer, lookUpWithin } from '../../lib/host/names.ts';
import { sockets } from '../../lib/host/net.ts';
import { run } from '../../lib/host/run.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';
import { type Site, startSite } from './binaries/server.ts';

let folder: string;
beforeEach(async () => {
  const scratch = await scratchFolder();
  folder = scratch.path;
  return scratch.remove;
});
afterEach(() => {
  vi.unstubAllEnvs();
});

test('the disk is measured by blocks that reach it, within the time given, and nothing is left in the folder', async () => {
  const times = await flushTimes(folder, 100);
  expect(times.length).toBeGreaterThan(0);
  for (const time of times) expect(time).toBeGreaterThan(0);
  // All but the last write began before the time was over.
  expect(times.slice(0, -1).reduce((sum, time) => sum + time, 0)).toBeLessThanOrEqual(100);
  expect(await readdir(folder)).toEqual([]);
  await expect(flushTimes(join(folder, 'nowhere'))).rejects.toThrow(/ENOENT/);
});

describe('a name server on loopback', () => {
  /** Starts one that answers each question with this code (RFC 1035, 4.1.1) and no record; undefined: not at all. */
  const startServer = async (code: number | undefined) => {
    const socket = createSocket('udp4');
    socket.on('message', (question, { address, port }) => {
      if (code === undefined) return;
      const reply = Buffer.from(question);
      reply[2] = 0x81; // an answer
      reply[3] = 0x80 | code;
      socket.send(reply, port, address);
    });
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    const server = `127.0.0.1:${(socket.address() as AddressInfo).port}`;
    return { server, close: () => new Promise<void>((resolve) => socket.close(() => resolve())) };
  };

  test.for<[string, number | undefined, RegExp | undefined]>([
    ['that knows no such name answers', 3, undefined],
    ['that knows no address of it answers', 0, undefined],
    ['that fails does not', 2, /SERVFAIL/],
    ['that refuses does not', 5, /refuses/],
    ['that is silent does not', undefined, /no answer within 0\.3 s/],
  ])('%s', async ([, code, words]) => {
    const { server, close } = await startServer(code);
    const fault = await faultOfNameServer(server, 'dl.example', 300).finally(close);
    if (words) expect(fault).toMatch(words);
    else expect(fault).toBeUndefined();
  });

  test('that has ended cannot be reached', async () => {
    const { server, close } = await startServer(0);
    await close();
    expect(await faultOfNameServer(server, 'dl.example', 300)).toMatch(/cannot be reached|no answer/);
  });
});

test("names are found as this machine's programs find them, and a name that has no address is said", async () => {
  const site = await startSite();
  const { port } = new URL(site.url);
  const reached = (host: string) =>
    new Promise<void>((resolve, reject) => {
      const socket = connect({ host, port: Number(port), lookup: lookUpWithin(3000) }, () => resolve());
      socket.on('error', reject).on('connect', () => socket.destroy());
    });
  await reached('localhost');
  // A label has at most 63 letters, so nobody has to be asked.
  await expect(reached(`${'x'.repeat(64)}.example`)).rejects.toMatchObject({ code: 'ENOTFOUND' });
  await site.close();
});

test('a listening socket is found in /proc, with the program that holds it', async () => {
  const site = await startSite();
  const { port } = new URL(site.url);
  const found = (await sockets('tcp')).filter((socket) => socket.port === Number(port));
  await site.close();
  expect(found).toMatchObject([{ protocol: 'tcp', address: '127.0.0.1', pid: process.pid }]);
});

describe('a site', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());
  const serve = (path: string, headers: Record<string, string>, status = 200) =>
    site.answers.set(path, [(_, response) => response.writeHead(status, headers).end()]);

  test('tells by its Date that the clock of this machine is wrong, and that it is right', async () => {
    serve('/late', { date: new Date(Date.now() - 7_200_000).toUTCString() });
    serve('/cached', { date: new Date(Date.now() - 7_200_000).toUTCString(), age: '7200' });
    expect(judgeClock([await ask(`${site.url}/late`, undefined)]).findings[0]?.cause).toMatch(/7\d{3} s ahead/);
    expect(judgeClock([await ask(`${site.url}/cached`, undefined)]).findings).toEqual([]);
    serve('/now', {});
    expect(judgeClock([await ask(`${site.url}/now`, undefined)]).findings).toEqual([]);
  });

  test('that is silent, away or dead has no status, but a reason', async () => {
    site.answers.set('/silent', [() => {}]);
    expect(await ask(`${site.url}/silent`, undefined, 200)).toMatchObject({
      problem: expect.stringMatching(/no answer within 0\.2 s/),
    });
    const { url } = site;
    await site.close();
    expect(await ask(url, undefined)).toMatchObject({ problem: expect.stringContaining('nothing listens there') });
    site = await startSite();
  });

  test('and a cache are asked for programs, and nothing is fetched or changed', async () => {
    vi.stubEnv('HARDWAY_MIRROR', site.url);
    vi.stubEnv('GOPROXY', site.url); // where a Go toolchain is here
    const { signal } = new AbortController();
    const where = { arch: 'amd64', cache: join(folder, 'cache'), signal } as const;
    const found = await askSources(['etcd', 'runc'], where);
    expect(found).toMatchObject({ mirrored: true, missing: ['etcd', 'runc'] });
    expect(found.sites.length).toBeGreaterThan(0);
    for (const { status } of found.sites) expect(status).toBe(404);
    expect(site.asked.filter((request) => !request.startsWith('HEAD '))).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
    vi.stubEnv('HARDWAY_MIRROR', 'http://mirror.example');
    await expect(askSources(['etcd'], where)).rejects.toThrow(UserError);
  });
});

test("the kernel's limits are counted: a new inotify instance is one more, with what it watches", async (context) => {
  needsRoot(context);
  const before = await inotifyUsage();
  const { watch } = await import('node:fs');
  const watcher = watch(folder);
  const after = await inotifyUsage();
  watcher.close();
  expect(after?.watches.used).toBeGreaterThan(0);
  expect(after?.instances.used).toBeGreaterThan(0);
  expect(after?.watches.most).toBe(before?.watches.most);
  expect(after?.instances.by).toMatch(/\(pid \d+\)/);
});

test("the kernel's log says what AppArmor denied, or why it cannot be read", async () => {
  const text = await appArmorLog().catch((error: Error) => error.message);
  expect(text === '' || /apparmor="DENIED"|^journalctl: /.test(text), text).toBe(true);
});

describe('a report', () => {
  const subject = (lastLog: string): Subject => ({
    root: process.getuid?.() === 0,
    requireOwn: async () => {},
    asked: async () => ({ to: 'smoke', source: { kind: 'auto' } }),
    lab: async () => ({
      old: { state: undefined, begun: false, supervisor: undefined },
      ledgerEntries: [
        { at: 't', step: 's', do: { kind: 'run', argv: ['x', '--token', lastLog] }, undo: { kind: 'run', argv: [] } },
      ],
    }),
    site: async () => 'dl.example',
    facts: async () => {
      throw new Error(`facts of ${lastLog}`);
    },
    sources: async () => ({ programs: [], missing: [], mirrored: false, sites: [] }),
  });
  const results = [{ name: 'sources', found: 'http://lab:hunter2@proxy:3128 is away', findings: [] }];

  test('is an archive that tar reads, for its owner only, and has no secret that was planted', async () => {
    vi.stubEnv('HTTPS_PROXY', 'http://lab:hunter2@proxy:3128');
    vi.stubEnv('LAB_TOKEN', 'planted-in-env');
    const path = join(folder, 'report.tar.gz');
    const write = await reportTo(path);
    expect(await write(subject('planted-in-env'), results)).toBe(path);
    expect((await stat(path)).mode & 0o7777).toBe(0o600);
    await mkdir(join(folder, 'out'));
    await run('tar', ['-xzf', path, '-C', join(folder, 'out')]);
    const out = join(folder, 'out/hardway-report');
    const names = await readdir(out, { recursive: true });
    expect(names).toEqual(
      expect.arrayContaining(['versions.json', 'findings.txt', 'findings.json', 'ledger.txt', 'facts.json']),
    );
    const texts = await Promise.all(names.map((name) => readFile(join(out, name), 'utf8')));
    for (const text of texts) expect(text).not.toMatch(/hunter2|planted-in-env/);
    expect(texts[names.indexOf('findings.txt')]).toContain('http://***@proxy:3128 is away');
    expect(texts[names.indexOf('ledger.txt')]).toBe('t s: x --token ***\n');
    expect(texts[names.indexOf('facts.json')]).toBe('could not be read: facts of ***\n');
    expect(JSON.parse(texts[names.indexOf('versions.json')] ?? '')).toMatchObject({ node: process.version });
  });

  test('holds texts of any length', async () => {
    const text = 'ab cd\n'.repeat(20_000);
    await writeFile(join(folder, 'r.tgz'), await packed([{ path: 'logs/x.log', text }], new Date()));
    const { stdout } = await run('tar', ['-xzOf', join(folder, 'r.tgz'), 'hardway-report/logs/x.log']);
    expect(`${stdout}\n`.length).toBe(text.length);
  });

  test('is written over nothing, and through no link', async () => {
    const kept = join(folder, 'kept');
    await writeFile(kept, 'mine');
    await symlink(kept, join(folder, 'link'));
    await symlink(join(folder, 'new'), join(folder, 'dangling'));
    for (const name of ['kept', 'link', 'dangling'])
      await expect(reportTo(join(folder, name))).rejects.toThrow(/is there already/);
    const write = await reportTo(join(folder, 'late'));
    await symlink(kept, join(folder, 'late')); // somebody is quicker
    await expect(write(subject('x'), results)).rejects.toThrow(/is there already/);
    await expect((await reportTo(join(folder, 'no/where')))(subject('x'), results)).rejects.toThrow(UserError);
    expect(await readFile(kept, 'utf8')).toBe('mine');
    expect((await readdir(folder)).toSorted()).toEqual(['dangling', 'kept', 'late', 'link']);
  });

  test('belongs to the person who called sudo', async (context) => {
    needsRoot(context);
    vi.stubEnv('SUDO_USER', 'nobody');
    const path = join(folder, 'report.tar.gz');
    await (await reportTo(path))(subject('x'), results);
    expect((await stat(path)).uid).toBe(Number((await run('id', ['-u', 'nobody'])).stdout));
  });
});
