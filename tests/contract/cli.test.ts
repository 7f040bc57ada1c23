import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Ran, tryRun } from '../../lib/host/run.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';

const program = join(import.meta.dirname, '../../bin/cli.ts');
const hardway = (...args: readonly string[]): Promise<Ran> => tryRun(process.execPath, [program, ...args]);

/** Every command that help names. */
const commandsOf = (help: string): string[] =>
  [...help.matchAll(/^ {2}([a-z]+) {2,}/gm)]
    .flatMap(([, command]) => command ?? [])
    .filter((one) => !['hardway', 'help'].includes(one));

describe('the command line', () => {
  test('help fits 80 columns, has an example, and ends well; so does that of each command', async () => {
    const help = await hardway('--help');
    expect(help).toMatchObject({ code: 0, stderr: '' });
    const commands = commandsOf(help.stdout);
    expect(commands).toEqual(
      expect.arrayContaining(['up', 'status', 'steps', 'check', 'logs', 'kubectl', 'shell', 'vm']),
    );
    const helps = await Promise.all(commands.map((command) => hardway(command, '--help')));
    for (const { stdout, stderr, code } of [help, ...helps]) {
      expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
      // vm only names commands; each of those has its own.
      if (!stdout.startsWith('Usage: hardway vm')) expect(stdout).toMatch(/Examples?:\n/);
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    }
  });

  test('a hint names the command as it was typed', async () => {
    const env = { HARDWAY_CALLED: './hw', PATH: '/nowhere' };
    const ran = await tryRun(process.execPath, [program, 'logs', 'etcd', '-n', 'x'], { env });
    expect(ran.stderr).toContain('next: ./hw logs etcd -n 200');
  });

  test('without a command help is shown, and that is not what was wanted: exit code 2', async () => {
    const ran = await hardway();
    expect(ran.code).toBe(2);
    expect(ran.stdout + ran.stderr).toContain('Usage: hardway');
  });

  test('steps lists them in their order, as text and as JSON', async () => {
    const [text, json] = await Promise.all([hardway('steps'), hardway('steps', '--json')]);
    const ids = json.stdout.split('\n').map((line) => (JSON.parse(line) as { step: string }).step);
    expect(ids[0]).toBe('preflight');
    expect(ids.at(-1)).toBe('smoke');
    expect(text.stdout.split('\n').map((line) => line.trim().split(/\s+/)[1])).toEqual(ids);
  });

  // A dry run, should a wrong value ever be taken for a right one.
  test.for([
    [['upp'], /Did you mean up\?/],
    [['up', '--dry-run', '--jsn'], /Did you mean --json\?/],
    [['up', '--dry-run', '--to'], /--to <step>.*missing/],
    [['up', '--dry-run', '--to', 'etc'], /"etc"; did you mean etcd\?/],
    [['up', '--dry-run', '--cni', 'bridg'], /"bridg"; did you mean bridge\?/],
    [['up', '--dry-run', '--source', 'relase'], /"relase"; did you mean release\?/],
    [['vm', 'up', '--', '--cni', 'bridg'], /"bridg"; did you mean bridge\?/],
    [['vm', 'up', '--', '--jsn'], /Did you mean --json\?/],
    [['check', 'kubelett'], /"kubelett"; did you mean kubelet\?/],
    [['logs', 'kube-apisever'], /"kube-apisever"; did you mean kube-apiserver\?/],
    [['logs'], /component/],
  ] as const)('hardway %o is refused with the nearest that there is', async ([args, words]) => {
    const ran = await hardway(...args);
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toMatch(words);
  });
});

describe('a cache that is no folder, or somebody’s', () => {
  let scratch: Awaited<ReturnType<typeof scratchFolder>>;
  beforeAll(async () => {
    scratch = await scratchFolder();
    await writeFile(join(scratch.path, 'file'), '');
    await symlink('/nowhere', join(scratch.path, 'link'));
    await mkdir(join(scratch.path, 'home/images'), { recursive: true });
    await writeFile(join(scratch.path, 'home/letter'), '');
    return scratch.remove;
  });

  test.for([
    ['file', /file is a file, where a folder belongs/],
    ['file/cache', /lies below something that is no folder/],
    ['link', /is a link that leads to nothing/],
    ['home', /is no folder of its own: letter is in it/],
    ['../../../../..', /is no folder of its own: \S+ is in it/], // the root of all
  ] as const)('%s is refused before anything else', async ([name, words], context) => {
    needsRoot(context);
    const env = { HARDWAY_CACHE: join(scratch.path, name) };
    const ran = await tryRun(process.execPath, [program, 'status'], { env });
    expect(ran).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(words) });
  });
});

describe('reset --purge on a machine without a lab', () => {
  /** Runs it where /var/lib is empty but for what `make` puts there, and returns what is in the cache afterwards. */
  const purge = async (make: string, ...flags: readonly string[]): Promise<Ran & { readonly left: string }> => {
    const scratch = await scratchFolder();
    await mkdir(join(scratch.path, 'downloads'));
    const command = `mount -t tmpfs none /var/lib; ${make}; exec "$@"`;
    const argv = ['--mount', 'sh', '-euc', command, 'sh', process.execPath, program, 'reset', '--purge', ...flags];
    const ran = await tryRun('unshare', argv, { env: { HARDWAY_CACHE: scratch.path } });
    const left = (await readdir(scratch.path)).join();
    await scratch.remove();
    return { ...ran, left };
  };

  test('asks, and without an answer nothing goes', async (context) => {
    needsRoot(context);
    const asked = await purge(':');
    expect(asked).toMatchObject({ code: 2, left: 'downloads' });
    expect(asked.stderr).toMatch(/This destroys:\n {2}the downloads and builds in [\s\S]*hardway reset --purge --yes/);
    expect(await purge(':', '--yes')).toMatchObject({ code: 0, left: '' });
  });

  test('asks nothing of a cache that VMs live on: it stays', async (context) => {
    needsRoot(context);
    const kept = await purge('mkdir -p /var/lib/hardway-vms/class');
    expect(kept).toMatchObject({ code: 0, left: 'downloads', stdout: expect.stringMatching(/kept: .*\(class\)/) });
  });
});

describe('with --json', () => {
  // Without root, or without a lab: each is refused before anything is done.
  test.each([
    ['up', '--dry-run', '--to', 'etc'],
    ['up', '--jsn'],
    ['next', '--lang', 'xx'],
    ['reset', '--to', 'etc'],
    ['back', '--to', 'x'],
    ['check', 'kubelett'],
    ['status', '--wtch'],
  ])('a refusal of hardway %s ends in one line that says so, and why', async (...args) => {
    const { code, stdout } = await hardway(...args, '--json');
    expect(code).toBe(2);
    const events = stdout.split('\n').map((line) => JSON.parse(line));
    expect(events).toEqual([{ event: 'done', ok: false, seconds: expect.any(Number), reason: expect.any(String) }]);
  });

  test('what belongs to another command is left to that', async () => {
    expect(await hardway('kubectl', '--', 'version', '--json')).toMatchObject({ stdout: '' });
  });
});
