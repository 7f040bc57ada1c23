import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { preamble } from '../../bin/teach/script.ts';
import { sha256 } from '../../lib/host/files.ts';
import { plainLab, scratchFolder } from '../fixtures.ts';

const run = promisify(execFile);
let scratch: Awaited<ReturnType<typeof scratchFolder>>;
/** What a site publishes, and what its files are asked for by. */
let site: string;
let url: string;
let target: string;

beforeEach(async () => {
  scratch = await scratchFolder();
  site = `${scratch.path}/site`;
  url = `file://${site}`;
  target = `${scratch.path}/target`;
  await mkdir(`${site}/tree/bin`, { recursive: true });
  await mkdir(`${scratch.path}/tmp`);
  await writeFile(`${site}/kubelet`, 'the kubelet');
  await writeFile(`${site}/tree/bin/etcd`, 'etcd itself');
  await writeFile(`${site}/tree/bin/etcdctl`, 'its client');
});
afterEach(() => scratch.remove());

/** Runs lines below the functions of the script, without its first lines: those want root and this very machine. */
const typed = (...lines: readonly string[]) => {
  const script = preamble(plainLab);
  const functions = script.slice(script.indexOf('downloads='));
  // What it makes in /var/tmp goes into a folder of the test's own, so that what is left there can be seen.
  const text = [
    'set -eu',
    `CACHE=${scratch.path}/cache`,
    functions.replace('/var/tmp', `${scratch.path}/tmp`),
    ...lines,
  ];
  return run('bash', ['-c', text.join('\n')]);
};

const published = async (name: string): Promise<string> => sha256(await readFile(`${site}/${name}`));

/** A tarball whose members are called as `names` says. */
const tarball = (...names: readonly string[]) =>
  run('tar', ['-czf', `${site}/etcd.tar.gz`, '-C', `${site}/tree`, ...names]);

test('a file of its maker is fetched, and may be run', async () => {
  await typed(`place ${target} none ${url}/kubelet ${await published('kubelet')}`);
  expect(await readFile(target, 'utf8')).toBe('the kubelet');
  expect((await stat(target)).mode & 0o777).toBe(0o755);
  expect(await readdir(`${scratch.path}/tmp`)).toEqual([]);
});

test.each(['', '  kubelet\n'])(
  'where the script has no checksum the one beside the file counts, followed by %j',
  async (rest) => {
    await writeFile(`${site}/kubelet.sha256`, `${await published('kubelet')}${rest}`);
    await typed(`place ${target} none ${url}/kubelet ''`);
    expect(await readFile(target, 'utf8')).toBe('the kubelet');
  },
);

test('a file with another checksum is named and not put in its place, and the script ends', async () => {
  const place = `place ${target} none ${url}/kubelet ${await published('tree/bin/etcd')}`;
  await expect(typed(place, 'echo went on')).rejects.toMatchObject({
    stdout: expect.stringMatching(/\/kubelet: FAILED$/m),
    stderr: expect.stringContaining('checksum'),
  });
  await expect(typed(place, 'echo went on')).rejects.not.toMatchObject({ stdout: expect.stringContaining('went on') });
  expect(await readdir(scratch.path)).not.toContain('target');
  expect(await readdir(`${scratch.path}/tmp`)).toEqual([]);
});

test.each(['kubelet', 'nothing'])('without a checksum anywhere %s is not put in its place', async (name) => {
  await expect(typed(`place ${target} none ${url}/${name} ''`)).rejects.toMatchObject({
    stderr: expect.stringMatching(`curl: .*${site}/${name}`),
  });
  expect(await readdir(scratch.path)).not.toContain('target');
});

test.each(['bin', './bin'])(
  'members are taken out of a tarball that calls its folder %s, which is fetched once',
  async (folder) => {
    await tarball(folder);
    const sum = await published('etcd.tar.gz');
    const { stderr } = await typed(
      `place ${target} none ${url}/etcd.tar.gz ${sum} bin/etcd`,
      `rm ${site}/etcd.tar.gz`,
      `place ${target}ctl none ${url}/etcd.tar.gz ${sum} bin/etcdctl`,
    );
    expect(stderr).toBe('');
    expect(await readFile(target, 'utf8')).toBe('etcd itself');
    expect(await readFile(`${target}ctl`, 'utf8')).toBe('its client');
    expect((await stat(target)).mode & 0o777).toBe(0o755);
  },
);

test('a member that is not in the tarball is named, and nothing stands in its place', async () => {
  await tarball('bin');
  const place = `place ${target} none ${url}/etcd.tar.gz ${await published('etcd.tar.gz')} bin/etcdutl`;
  await expect(typed(place)).rejects.toMatchObject({ stderr: expect.stringContaining('bin/etcdutl') });
  expect(await readdir(scratch.path)).not.toContain('target');
});

test('what is in the cache is linked, and what is in its place already stays; neither is asked for', async () => {
  await mkdir(`${scratch.path}/cache`);
  await writeFile(`${scratch.path}/cache/kubelet`, 'from the cache');
  await chmod(`${scratch.path}/cache/kubelet`, 0o755);
  await rm(site, { recursive: true });
  await typed(`place ${target} kubelet ${url}/kubelet ''`, `place ${target} none ${url}/kubelet ''`);
  expect(await readlink(target)).toBe(`${scratch.path}/cache/kubelet`);
});
