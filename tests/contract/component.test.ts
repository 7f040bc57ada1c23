import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ran, tryRun } from '../../lib/host/run.ts';
import { componentFiles } from '../component.ts';
import { scratchFolder } from '../fixtures.ts';

const project = join(import.meta.dirname, '../..');
let scratch: Awaited<ReturnType<typeof scratchFolder>>;

/** A copy of the project with a made-up component in it. */
beforeAll(async () => {
  scratch = await scratchFolder();
  const parts = ['bin', 'lib', 'steps', 'exercises', 'certs-templates', 'lessons', 'manifests', 'tests', 'bench'];
  const settings = ['package.json', 'tsconfig.json', 'vitest.config.ts', 'biome.json'];
  for (const part of [...parts, ...settings])
    await cp(join(project, part), join(scratch.path, part), { recursive: true });
  await symlink(join(project, 'node_modules'), join(scratch.path, 'node_modules'));
  for (const [file, text] of Object.entries(await componentFiles())) {
    await mkdir(dirname(join(scratch.path, file)), { recursive: true });
    await writeFile(join(scratch.path, file), text);
  }
});
afterAll(() => scratch.remove());

const hardway = (...args: readonly string[]): Promise<Ran> =>
  tryRun(process.execPath, [join(scratch.path, 'bin/cli.ts'), ...args]);

describe('a component is one file, one row in the order, a certificate and two lessons: with them alone', () => {
  test('every use knows it: the order, its lesson with its flags, its certificate, the options that name steps', async () => {
    expect((await hardway('steps')).stdout).toMatch(/^\s*\d+ {2}greeter$/m);
    const { stdout } = await hardway('explain', 'greeter', '--lang', 'fr');
    expect(stdout).toContain('salue qui demande');
    expect(stdout).toContain('--tls-cert-file=');
    expect(stdout).toContain('greeter-server');
    expect((await hardway('up', '--dry-run', '--to', 'greter')).stderr).toContain('did you mean greeter?');
    expect((await hardway('logs', '--help')).stdout).toContain('greeter');
  });

  test('the types agree, and the tests of steps, lessons, observations and plans pass over it as over any other', async () => {
    const vitest = join(project, 'node_modules/vitest/vitest.mjs');
    const tests = ['steps', 'lessons', 'observations', 'plan', 'fitness'].map((name) => `tests/unit/${name}.test.ts`);
    const [types, units] = await Promise.all([
      tryRun(process.execPath, [join(project, 'node_modules/typescript/bin/tsc'), '--noEmit'], { cwd: scratch.path }),
      tryRun(process.execPath, [vitest, 'run', '--reporter=verbose', '--project', 'unit', ...tests], {
        cwd: scratch.path,
      }),
    ]);
    expect(types.stdout + types.stderr).toBe('');
    expect(units.code, units.stdout + units.stderr).toBe(0);
    expect(units.stdout).toContain('the lesson of greeter');
  });
});
