import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { identify, isAlive } from '../../lib/host/proc.ts';
import { attach, CommandFailed, findCommand, quoted, run, runShown, tryRun } from '../../lib/host/run.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeEach(async () => {
  scratch = await scratchFolder();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await scratch.remove();
});
const at = (name: string): string => `${scratch.path}/${name}`;

describe('words for a shell', () => {
  const awkward = ['plain', 'two words', "it's", '$HOME', '`id`', '"', '\\', '', '*', 'a\nb', '--x=y', '~', 'é'];

  test('come out of a shell as they went in', async () => {
    const { stdout } = await run('sh', ['-c', `printf '%s\\0' ${quoted(awkward)}`]);
    expect(stdout.split('\0').slice(0, -1)).toEqual(awkward);
  });

  test.each([
    [['ip', 'link', 'add', 'eth0'], 'ip link add eth0'],
    [['echo', 'a b', ''], "echo 'a b' ''"],
    [['echo', "it's"], "echo 'it'\\''s'"],
    [['--flag=a,b', '/x/y', 'a@b:1'], '--flag=a,b /x/y a@b:1'],
    [['$x', '*'], "'$x' '*'"],
  ])('%j is typed as %s', (argv, typed) => {
    expect(quoted(argv)).toBe(typed);
  });
});

describe('a command', () => {
  test('leaves what it wrote and its exit code', async () => {
    const ran = await tryRun('sh', ['-c', 'cat; echo no >&2; exit 3'], { input: 'yes' });
    expect(ran).toEqual({ stdout: 'yes', stderr: 'no', code: 3 });
  });

  test('that a signal ended has the code that a shell shows', async () => {
    const ran = await tryRun('sh', ['-c', 'kill -KILL $$']);
    expect(ran).toMatchObject({ code: 137, ending: 'was ended by SIGKILL' });
  });

  test('that is not there says so', async () => {
    const ran = await tryRun('no-such-command-of-ours');
    expect(ran.code).toBe(127);
    expect(ran.stderr).toContain('no-such-command-of-ours');
  });

  test('that may not be executed says so', async () => {
    await writeFile(at('text'), 'x');
    expect((await tryRun(at('text'))).code).toBe(126);
  });

  test('that fails is an error with the command as one types it and its last words', async () => {
    await expect(run('sh', ['-c', 'echo broken pipe >&2; exit 9'])).rejects.toThrow(
      "sh -c 'echo broken pipe >&2; exit 9': exit code 9\nbroken pipe",
    );
  });
});

/** Starts a process in the background that holds the pipes, writes its pid to a file, and waits for it. */
const slow = (file: string): string => `sleep 600 & echo $! >${file}; echo begun; wait`;
const childIn = async (file: string): Promise<number> => Number((await run('cat', [file])).stdout);
const isRunning = (pid: number): boolean => {
  const id = identify(pid);
  return id !== undefined && isAlive(id);
};

describe('a command that takes too long', () => {
  test('is ended with what it started, and says how long it had', async () => {
    const ran = await tryRun('sh', ['-c', slow(at('pid'))], { timeout: 500 });
    const ending = 'did not end within 0.5 s';
    expect(ran).toEqual({ stdout: 'begun', stderr: ending, code: 124, ending });
    expect(isRunning(await childIn(at('pid')))).toBe(false);
  });

  test('is an ordinary failure of run', async () => {
    const failure = run('sleep', ['600'], { timeout: 100 });
    await expect(failure).rejects.toThrow(CommandFailed);
    await expect(failure).rejects.toThrow('sleep 600: did not end within 0.1 s');
  });

  test('and that a learner is shown is an ordinary failure too', async () => {
    const failure = runShown(['sh', '-c', slow(at('pid'))], { timeout: 500 });
    await expect(failure).rejects.toThrow(/^sh -c .*: did not end within 0.5 s$/s);
  });

  test('is not waited for through a process that moved out of its reach', async () => {
    const script = `setsid sh -c 'echo $$ >${at('pid')}; exec sleep 600' & sleep 0.3; exit 0`;
    const ran = await tryRun('sh', ['-c', script], { timeout: 1000 });
    expect(ran.code).toBe(124);
    process.kill(await childIn(at('pid')), 'SIGKILL');
  });
});

describe('an abort', () => {
  test.each([
    ['a command', (signal: AbortSignal, script: string) => tryRun('sh', ['-c', script], { signal })],
    ['a command that is shown', (signal: AbortSignal, script: string) => runShown(['sh', '-c', script], { signal })],
  ])('ends %s with what it started and throws its reason', async (_, start) => {
    const abort = new AbortController();
    const running = start(abort.signal, slow(at('pid')));
    const refused = expect(running).rejects.toThrow('enough');
    await vi.waitFor(async () => expect(await childIn(at('pid'))).toBeGreaterThan(0), { timeout: 10_000 });
    expect(isRunning(await childIn(at('pid')))).toBe(true);
    abort.abort(new Error('enough'));
    await refused;
    expect(isRunning(await childIn(at('pid')))).toBe(false);
  });

  test('that came before starts nothing', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(tryRun('touch', [at('touched')], { signal })).rejects.toThrow('enough');
    await expect(runShown(['touch', at('touched')], { signal })).rejects.toThrow('enough');
    expect((await tryRun('ls', [scratch.path])).stdout).toBe('');
  });
});

describe('a program', () => {
  test('is found on PATH, in its order', async () => {
    for (const name of ['one', 'two']) {
      await mkdir(at(name));
      await writeFile(at(`${name}/tool`), '#!/bin/sh\n');
      await chmod(at(`${name}/tool`), 0o755);
    }
    vi.stubEnv('PATH', `${at('missing')}::${at('two')}:${at('one')}`);
    expect(await findCommand('tool')).toBe(at('two/tool'));
  });

  test('is found in the folders of sbin where PATH lacks them', async () => {
    vi.stubEnv('PATH', '/nowhere');
    expect(await findCommand('sh')).toMatch(/^(\/usr)?\/bin\/sh$/);
  });

  test.each([
    ['a folder', () => mkdir(at('tool'))],
    ['a text', () => writeFile(at('tool'), 'x')],
    ['a link that leads nowhere', () => symlink('/nowhere', at('tool'))],
  ])('is not %s of its name', async (_, make) => {
    await make();
    vi.stubEnv('PATH', scratch.path);
    expect(await findCommand('tool')).toBeUndefined();
  });
});

describe('the environment of a command', () => {
  test('is the caller’s without what leads the tools of a cluster to something else', async () => {
    for (const name of ['CRI_CONFIG_FILE', 'KUBECONFIG', 'ETCDCTL_ENDPOINTS', 'CONTAINERD_ADDRESS', 'NODE_OPTIONS'])
      vi.stubEnv(name, '/nowhere');
    vi.stubEnv('HTTPS_PROXY', 'http://proxy.example');
    const given = (await run('env', [], { env: { KUBECONFIG: '/ours' } })).stdout.split('\n');
    expect(given.filter((line) => line.includes('/nowhere'))).toEqual([]);
    expect(given).toEqual(expect.arrayContaining(['KUBECONFIG=/ours', 'HTTPS_PROXY=http://proxy.example']));
    vi.stubEnv('PROOF', at('proof'));
    await runShown(['sh', '-c', 'env >"$PROOF"']);
    expect(await readFile(at('proof'), 'utf8')).not.toContain('/nowhere');
  });

  test('has a folder that nobody removes meanwhile', async () => {
    expect((await run('pwd')).stdout).toBe('/');
    vi.stubEnv('PROOF', at('proof'));
    await runShown(['sh', '-c', 'pwd >"$PROOF"']);
    expect(await readFile(at('proof'), 'utf8')).toBe('/\n');
  });
});

test.each([
  ['/nowhere/kubectl', 'it is missing'],
  ['/etc/passwd', 'it may not be executed'],
])('a command for the terminal that cannot be started is said: %s', async (file, why) => {
  await expect(attach(file, [])).rejects.toThrow(`${file} cannot be started: ${why}`);
});
