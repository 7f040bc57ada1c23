import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { publishedFiles, sumsIn, type VersionsFile } from '../../../lib/binaries/versions.ts';
import { tryRun } from '../../../lib/host/run.ts';
import { scratchFolder } from '../../fixtures.ts';
import { type Site, startSite, status, sumOf, whole } from './server.ts';

const project = join(import.meta.dirname, '../../..');
const here = (name: string) => readFile(join(project, 'lib/binaries', name), 'utf8');
const known = new Map(sumsIn(await here('sums.txt')).map(({ url, sha256 }) => [url, sha256]));

let site: Site;
let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeEach(async () => {
  site = await startSite();
  scratch = await scratchFolder();
});
afterEach(async () => {
  await site.close();
  await scratch.remove();
});

const serve = (url: string, text: string): void => {
  site.answers.set(url.replace('https:/', ''), [whole(Buffer.from(text))]);
};
const run = () =>
  tryRun(process.execPath, ['scripts/pins.ts'], { cwd: project, env: { HARDWAY_MIRROR: site.url, NODE_OPTIONS: '' } });

/** The sum that the site of this test publishes: the real one where we know it, as a release never changes. */
const sumOfFile = (url: string): string => known.get(url) ?? sumOf(url);

/** The sites of releases, with these versions as the newest. */
const publish = async (newest: Readonly<Record<string, string>>): Promise<void> => {
  const text = Object.entries(newest).reduce(
    (all, [old, now]) => all.replaceAll(old, now),
    await here('versions.yaml'),
  );
  const file = parse(text) as VersionsFile;
  for (const version of Object.keys(file.kubernetes))
    serve(`https://dl.k8s.io/release/stable-${version.slice(1).replace(/\.\d+$/, '')}.txt`, version);
  for (const [name, { version, files = [] }] of Object.entries(file.products)) {
    const [, repository] = /github\.com\/([^/]+\/[^/]+)\//.exec(files[0]?.url ?? '') ?? [];
    const tags = [version, ...Object.values(file.kubernetes).map((row) => row[name])].filter(
      (tag) => tag !== undefined,
    );
    const releases = [...tags, 'v0.0.1'].map((tag_name) => ({ tag_name, draft: false, prerelease: false }));
    const coming = tags.map((tag) => ({ tag_name: tag.replace(/\d+$/, '999'), draft: false, prerelease: true }));
    if (repository)
      serve(`https://api.github.com/repos/${repository}/releases`, JSON.stringify([...coming, ...releases]));
  }
  for (const [page, rows] of Map.groupBy(publishedFiles(file), ({ page }) => page)) {
    const lines = rows.map(({ url }) => `${sumOfFile(url)}  ${url.slice(url.lastIndexOf('/') + 1)}`);
    serve(page, page.endsWith('.sha256') ? sumOfFile(rows[0]?.url ?? '') : `-----BEGIN-----\n${lines.join('\n')}\n`);
  }
};

/** The two files with the patch that was printed, applied by git. */
const patched = async (patch: string) => {
  const folder = join(scratch.path, 'lib/binaries');
  await mkdir(folder, { recursive: true });
  for (const name of ['versions.yaml', 'sums.txt']) await writeFile(join(folder, name), await here(name));
  const applied = await tryRun('git', ['apply', '-'], { cwd: scratch.path, input: `${patch}\n` });
  expect(applied, applied.stderr).toMatchObject({ code: 0 });
  const rows = sumsIn(await readFile(join(folder, 'sums.txt'), 'utf8'));
  return { versions: await readFile(join(folder, 'versions.yaml'), 'utf8'), rows };
};

test('where nothing is newer every file gets its published checksum, from the page of its own site, and no version changes', async () => {
  await publish({});
  const { code, stdout, stderr } = await run();
  expect(stderr).toBe('');
  expect(code).toBe(0);
  const { versions, rows } = await patched(stdout);
  expect(versions).toBe(await here('versions.yaml'));
  expect(rows.map(({ url }) => url)).toEqual(
    publishedFiles()
      .map(({ url }) => url)
      .toSorted(),
  );
  for (const { url, sha256, from } of rows) {
    expect(sha256).toBe(sumOfFile(url));
    expect(new URL(from).host).toBe(new URL(url).host);
  }
  expect(rows.filter(({ url }) => /kube-(apiserver|controller-manager|scheduler|proxy)$/.test(url))).toHaveLength(16);
});

test('newer patch releases are proposed with the page that says so, and nothing else of versions.yaml changes', async () => {
  const old = await here('versions.yaml');
  const { products, kubernetes } = parse(old) as VersionsFile;
  const [usual = ''] = Object.keys(kubernetes);
  const etcd = kubernetes[usual]?.['etcd'] ?? '';
  const runc = products['runc']?.version ?? '';
  const newer = (version: string) => version.replace(/\d+$/, '77');
  const newest = { [usual]: newer(usual), [etcd]: newer(etcd), [runc]: newer(runc) };
  await publish(newest);
  const { code, stdout, stderr } = await run();
  expect(code, stderr).toBe(0);
  const { versions, rows } = await patched(stdout);
  expect(versions).toBe(Object.entries(newest).reduce((all, [from, to]) => all.replaceAll(from, to), old));
  expect(stderr).toContain(`kubernetes ${usual} -> ${newer(usual)}, as https://dl.k8s.io/release/stable-`);
  expect(stderr).toContain(
    `runc ${runc} -> ${newer(runc)}, as https://api.github.com/repos/opencontainers/runc/releases`,
  );
  expect(rows.find(({ url }) => url.endsWith(`${newer(usual)}/bin/linux/arm64/kube-proxy`))?.sha256).toMatch(
    /^[0-9a-f]{64}$/,
  );
  expect(rows.filter(({ url }) => url.includes(`/${usual}/`))).toEqual([]);
});

test('a published checksum that is another one than before is refused, and both are named', async () => {
  await publish({});
  const [url = '', sha256 = ''] = [...known].find(([one]) => one.endsWith('/kubelet')) ?? [];
  serve(`${url}.sha256`, 'b'.repeat(64));
  const { code, stdout, stderr } = await run();
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('b'.repeat(64));
  expect(stderr).toContain(sha256);
});

test('a page without the checksum, and one that is not there, are named and nothing is proposed', async () => {
  await publish({});
  const { page } = publishedFiles().find(({ url }) => url.includes('/etcd-')) ?? { page: '' };
  serve(page, '<!DOCTYPE html><title>Log in</title>');
  expect(await run()).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining(`${page} has no SHA-256 of etcd-`),
  });
  site.answers.set(page.replace('https:/', ''), [status(404)]);
  expect(await run()).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('answered 404') });
});
