import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { findGo } from '../../lib/binaries/toolchain.ts';
import { tryRun } from '../../lib/host/run.ts';
import { scratchFolder } from '../fixtures.ts';

const folder = join(import.meta.dirname, '../../.github/workflows');
/** Go keeps what it has built of it in its own cache. */
const actionlint = 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.12';
const timeout = 10 * 60_000;

let missing = '';
let go = '';
let scratch: Awaited<ReturnType<typeof scratchFolder>>;

const lint = (...args: readonly string[]) => tryRun(go, ['run', actionlint, '-no-color', ...args], { timeout });

beforeAll(async () => {
  scratch = await scratchFolder();
  go = (await findGo()) ?? '';
  if (!go) {
    missing = 'Go, which runs actionlint, is not here; install it from https://go.dev/dl';
    return;
  }
  const { code, stderr } = await lint('--version');
  if (code !== 0) missing = `Go cannot bring ${actionlint}; set GOPROXY or HTTPS_PROXY: ${stderr.trim()}`;
}, timeout);
afterAll(() => scratch.remove());
beforeEach(({ skip }) => skip(missing !== '', missing));

const files = async () => (await readdir(folder)).map((name) => join(folder, name));

test('actionlint has nothing to say against the workflows', async () => {
  const found = await files();
  expect(found.length).toBeGreaterThan(0);
  expect(await lint(...found)).toMatchObject({ code: 0, stdout: '' });
});

test('and would have, against a runner that does not exist and an unknown key', async () => {
  const [first = ''] = await files();
  const text = await readFile(first, 'utf8');
  await mkdir(join(scratch.path, 'wrong'));
  const wrong = join(scratch.path, 'wrong/wrong.yaml');
  await writeFile(wrong, text.replace('timeout-minutes', 'timeout-hours').replace(/ubuntu-24\.04\b/, 'ubuntu-0.1'));
  const { code, stdout } = await lint(wrong);
  expect(code).not.toBe(0);
  expect(stdout).toContain('timeout-hours');
  expect(stdout).toContain('ubuntu-0.1');
});
