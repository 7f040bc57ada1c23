import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bundle, openBundle, requireFits } from '../../../lib/binaries/bundle.ts';
import { createBundle } from '../../../lib/binaries/bundle-create.ts';
import { type Served, serveBundle } from '../../../lib/binaries/bundle-serve.ts';
import { binaryPath, recipeOf, store } from '../../../lib/binaries/cache.ts';
import { arrival, provide } from '../../../lib/binaries/provide.ts';
import { productOf, usualKubernetes } from '../../../lib/binaries/versions.ts';
import { tryRun } from '../../../lib/host/run.ts';
import { scratchFolder } from '../../fixtures.ts';
import { sumOf } from './server.ts';

const project = join(import.meta.dirname, '../../..');
const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
const content = randomBytes(3_000_000);
const needs = { programs: ['kubectl'], plugins: [], images: [] };
const kubectlIn = (cache: string): string => {
  const { name, product } = productOf('kubectl');
  return binaryPath(cache, arch, name, product.version, 'kubectl');
};

let scratch: { readonly path: string; readonly remove: () => Promise<void> };
let bundle: Bundle;
let served: Served;
let file: string;

const make = (output: string): Promise<void> =>
  createBundle(output, {
    project,
    needs,
    cni: 'bridge',
    with: [],
    arch,
    cache: join(scratch.path, 'full'),
    report: () => {},
    signal: new AbortController().signal,
  });

beforeAll(async () => {
  scratch = await scratchFolder();
  const path = kubectlIn(join(scratch.path, 'full'));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, content);
  const { product } = productOf('kubectl');
  await store(`${path}.new`, path, { origin: 'release', recipe: recipeOf('release', product), mode: 0o755 });
  file = join(scratch.path, 'lab.bundle');
  await make(file);
  bundle = await openBundle(file);
  served = await serveBundle(bundle, { port: 0, host: '127.0.0.1' });
}, 120_000);
afterAll(async () => {
  await served.close();
  await scratch.remove();
});

const address = (): string => `http://127.0.0.1:${served.port}/${bundle.mark}`;
const take = async (from: string, cache: string, kubernetes?: string): Promise<string | undefined> => {
  const { binaries } = await provide({
    source: 'bundle',
    ...{ from, kubernetes, arch, cache, binaries: needs.programs, images: [], report: () => {} },
  });
  return (await arrival(binaries)).get('kubectl');
};
const emptyCache = async (name: string): Promise<string> => {
  const cache = join(scratch.path, name);
  await mkdir(cache);
  return cache;
};

test('the same input gives the same bytes, and nothing half is left beside them', async () => {
  const again = join(scratch.path, 'again.bundle');
  await make(again);
  expect(sumOf(await readFile(again))).toBe(sumOf(await readFile(file)));
  expect((await readdir(scratch.path)).filter((name) => name.includes('.part-'))).toEqual([]);
}, 120_000);

test('a shell reads it with tar and sha256sum alone, the list first', async () => {
  const folder = await emptyCache('shell');
  const { stdout } = await tryRun('tar', ['-tf', file]);
  expect(stdout.split('\n').slice(0, 2)).toEqual(['SHA256SUMS', 'bundle.json']);
  const script = 'tar -xf "$1" && sha256sum --quiet -c SHA256SUMS && tar -xzf node-*.tar.gz && node/bin/node --version';
  const ran = await tryRun('sh', ['-euc', script, 'sh', file], { cwd: folder });
  expect(ran, ran.stderr).toMatchObject({ code: 0, stdout: process.version });
});

test('a lab gets its programs out of it, executable and known to the cache', async () => {
  const cache = await emptyCache('file');
  const path = await take(file, cache);
  expect(path).toBe(kubectlIn(cache));
  expect(sumOf(await readFile(kubectlIn(cache)))).toBe(sumOf(content));
  expect((await stat(kubectlIn(cache))).mode & 0o777).toBe(0o755);
  const { source } = await provide({
    source: 'release',
    ...{ arch, cache, binaries: needs.programs, images: [], report: () => {} },
  });
  expect(source).toBe('cache');
});

describe('refuses, before anything is written,', () => {
  const altered = async (name: string, change: (path: string) => Promise<void>): Promise<string> => {
    const path = join(scratch.path, name);
    await copyFile(file, path);
    await change(path);
    return path;
  };
  const flip = async (path: string, at: number): Promise<void> => {
    const handle = await open(path, 'r+');
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at);
    await handle.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, at);
    await handle.close();
  };
  test.for([
    ['torn in a member', async (path: string) => truncate(path, 2_000_000), 'torn'],
    ['torn at its end', async (path: string) => truncate(path, (await stat(path)).size - 1024), 'torn'],
    ['altered in a program', async (path: string) => flip(path, (await stat(path)).size - 100_000), 'was altered'],
    ['altered in its list', async (path: string) => flip(path, 520), 'was altered'],
    ['that is none', async (path: string) => writeFile(path, 'nothing'), 'torn'],
  ] as const)('one %s', async ([name, change, words]) => {
    const path = await altered(name.replaceAll(' ', '-'), change);
    const cache = await emptyCache(`cache-${name.replaceAll(' ', '-')}`);
    await expect(take(path, cache)).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringContaining(words),
      next: expect.stringContaining('hardway bundle create'),
    });
    expect(await readdir(cache)).toEqual([]);
  });

  test('one that is not there, of another architecture, of another version', async () => {
    const cache = await emptyCache('cache-other');
    await expect(take(join(scratch.path, 'none'), cache)).rejects.toThrow('there is no bundle at');
    const other = arch === 'amd64' ? 'arm64' : 'amd64';
    expect(() => requireFits(bundle, { arch: other, kubernetes: usualKubernetes() })).toThrow(
      `it is for ${arch}, and this machine is ${other}`,
    );
    await expect(take(file, cache, 'v1.35.8')).rejects.toThrow(`it has Kubernetes ${usualKubernetes()}`);
    expect(await readdir(cache)).toEqual([]);
  });

  test('an address without its mark, and one with another', async () => {
    const cache = await emptyCache('cache-mark');
    await expect(take(`http://127.0.0.1:${served.port}`, cache)).rejects.toThrow('its mark is missing');
    await expect(take(`http://127.0.0.1:${served.port}/0123456789abcdef`, cache)).rejects.toThrow('404');
    expect(await readdir(cache)).toEqual([]);
  });
});

test('thirty machines at once take it from one that serves it', async () => {
  const caches = await Promise.all(Array.from({ length: 30 }, (_, at) => emptyCache(`client-${at}`)));
  await Promise.all(caches.map((cache) => take(address(), cache)));
  const sums = await Promise.all(caches.map(async (cache) => sumOf(await readFile(kubectlIn(cache)))));
  expect(new Set(sums)).toEqual(new Set([sumOf(content)]));
}, 60_000);

test('a download goes on where it was cut', async () => {
  const part = bundle.contents.parts.find(({ of }) => of === 'kubectl');
  const cache = await emptyCache('cut');
  const whole = Buffer.from(await (await fetch(`${address()}/${part?.name}`)).arrayBuffer());
  await mkdir(join(cache, 'downloads'));
  await writeFile(join(cache, 'downloads', `bundle_${part?.sha256}.part`), whole.subarray(0, 1_000_000));
  const left: number[] = [];
  const { binaries } = await provide({
    source: 'bundle',
    ...{ from: address(), arch, cache, binaries: needs.programs, images: [] },
    report: (one) => left.push(one.left ?? 0),
  });
  await arrival(binaries);
  expect(Math.max(...left)).toBe(1_000_000);
  expect(sumOf(await readFile(kubectlIn(cache)))).toBe(sumOf(content));
});

test('serves its members and nothing else, whole or in part', async () => {
  const asked = async (path: string, headers = {}, method = 'GET') => {
    const url = `http://127.0.0.1:${served.port}${path}`;
    // fetch itself would tidy the path up.
    const argv = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    const more = ['-s', '--path-as-is', '-X', method, ...(method === 'HEAD' ? ['-I'] : []), '-w', '\n%{http_code}'];
    return (await tryRun('curl', [...more, ...argv, url])).stdout;
  };
  const { mark } = bundle;
  for (const path of [
    '/',
    '/../../etc/passwd',
    `/${mark}/../../etc/passwd`,
    `/${mark}/%2e%2e/x`,
    `/${mark}//etc/passwd`,
  ])
    expect(await asked(path)).toBe('\n404');
  expect(await asked(`/${mark}/SHA256SUMS`, { range: 'bytes=0-3' })).toMatch(/^[0-9a-f]{4}\n206$/);
  expect(await asked(`/${mark}/SHA256SUMS`, { range: 'bytes=-5' })).toMatch(/zst\n\n206$/);
  expect(await asked(`/${mark}/SHA256SUMS`, { range: 'bytes=9999999-' })).toBe('\n416');
  expect(await asked(`/${mark}/SHA256SUMS`, {}, 'POST')).toBe('\n405');
});
