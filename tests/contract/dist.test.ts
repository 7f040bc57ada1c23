import { copyFile, mkdir, readdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { architectures } from '../../lib/engine/lab.ts';
import { findCommand, run, tryRun } from '../../lib/host/run.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { scratchFolder } from '../fixtures.ts';

const project = join(import.meta.dirname, '../..');
const arch = architectures[process.arch] ?? '';
const fileName = `hardway-${packageJson.version}-linux-${arch}`;
let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let file: string;
/** A folder with the commands of a clean Debian that the file may call, and no others. */
let tools: string;

const baseTools =
  'sh tar gzip sha256sum tail find stat readlink id uname mkdir mktemp mv rm chmod printf cut cat getent dirname sed env flock df awk grep';

const build = (into: string) =>
  run(process.execPath, ['--disable-warning=ExperimentalWarning', 'scripts/dist.ts', into], {
    cwd: project,
    timeout: 300_000,
  });

beforeAll(async () => {
  scratch = await scratchFolder();
  tools = join(scratch.path, 'tools');
  await mkdir(tools);
  for (const tool of baseTools.split(' ')) await symlink((await findCommand(tool)) ?? `/no/${tool}`, join(tools, tool));
  await build(join(scratch.path, 'dist'));
  file = join(scratch.path, 'dist', fileName);
}, 300_000);
afterAll(() => scratch.remove());

/** Runs a file where there are only these commands, with a cache of its own. */
const runFile = (path: string, cache: string, ...args: readonly string[]) => {
  const folder = join(scratch.path, cache);
  const env = [`PATH=${tools}`, `HOME=${folder}`, `HARDWAY_CACHE=${folder}`, `XDG_CACHE_HOME=${folder}`];
  return tryRun('env', ['-i', ...env, path, ...args], { timeout: 120_000 });
};

/** What a cache holds of unpacked versions; for who is not root it is a folder deeper. */
const unpacked = async (cache: string): Promise<readonly string[]> => {
  const root = process.getuid?.() === 0;
  return readdir(join(scratch.path, cache, ...(root ? [] : ['hardway']), 'dist')).catch(() => []);
};

describe('the self-extracting file', () => {
  test('needs a shell and the tools of a clean Debian, unpacks itself once, and calls itself by its own name', async () => {
    const first = await runFile(file, 'one', '--version');
    expect([first.code, first.stdout.trim()]).toEqual([0, packageJson.version]);
    expect(first.stderr).toContain('unpacking version');
    const second = await runFile(file, 'one', 'steps');
    expect([second.code, second.stderr]).toEqual([0, '']);
    expect(second.stdout).toContain('kube-apiserver');
    expect((await runFile(file, 'one', 'up', '--help')).stdout).toContain(`${file} up`);
    expect(await unpacked('one')).toHaveLength(1);
  });

  test('can be started twice at once', async () => {
    const both = await Promise.all([runFile(file, 'two', '--version'), runFile(file, 'two', '--version')]);
    expect(both.map(({ code, stdout }) => [code, stdout.trim()])).toEqual([
      [0, packageJson.version],
      [0, packageJson.version],
    ]);
    expect(await unpacked('two')).toHaveLength(1);
  });

  test('that is torn or was altered is refused, and leaves nothing', async () => {
    const torn = join(scratch.path, 'torn');
    await copyFile(file, torn);
    await truncate(torn, 30_000_000);
    const altered = join(scratch.path, 'altered');
    const bytes = await readFile(file);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 5000) ^ 1, bytes.length - 5000);
    await writeFile(altered, bytes, { mode: 0o755 });
    for (const path of [torn, altered]) {
      const { code, stderr } = await runFile(path, 'three', '--version');
      expect([code, stderr]).toEqual([2, expect.stringContaining('is torn or was altered')]);
      expect(stderr).toContain('sha256sum');
    }
    expect(await unpacked('three')).toEqual([]);
  });

  test('for another architecture is refused with the name of the right one', async () => {
    const other = join(scratch.path, 'other');
    const bytes = await readFile(file);
    const script = bytes.subarray(0, 6000).toString('latin1').replace(`arch=${arch} `, 'arch=riscv64 ');
    await writeFile(other, script, { mode: 0o755 });
    const { code, stderr } = await runFile(other, 'four', '--version');
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining(`this file is for riscv64, and this machine is ${arch}`),
    ]);
    expect(stderr).toContain(fileName);
  });

  test('is the same, byte for byte, when it is made again', async () => {
    const again = join(scratch.path, 'again');
    await build(again);
    expect((await readFile(join(again, fileName))).equals(await readFile(file))).toBe(true);
  }, 300_000);
});

test('the npm package is JavaScript with all that it needs, and npm installs it without a network', async () => {
  const tarball = join(scratch.path, 'dist', `hardway-${packageJson.version}.tgz`);
  const folder = join(scratch.path, 'npm');
  await mkdir(folder);
  await writeFile(join(folder, 'package.json'), '{ "private": true }');
  const env = {
    PATH: `${join(process.execPath, '..')}:${process.env['PATH'] ?? ''}`,
    HOME: folder,
    NODE_DISABLE_COMPILE_CACHE: '1',
  };
  await run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', tarball], {
    cwd: folder,
    env,
  });
  const files = (await run('tar', ['-tzf', tarball])).stdout.split('\n');
  expect(files.filter((name) => /^package\/(?!node_modules).*\.ts$|^package\/tests\//.test(name))).toEqual([]);
  const hardway = (...args: string[]) => run(join(folder, 'node_modules/.bin/hardway'), args, { cwd: folder, env });
  expect((await hardway('--version')).stdout.trim()).toBe(packageJson.version);
  expect((await hardway('steps')).stdout).toContain('kube-apiserver');
  expect((await hardway('explain', 'etcd', '--lang', 'fr')).stdout).toContain('# etcd');
});
