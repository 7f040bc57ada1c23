import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { commands } from '../../bin/table.ts';
import { findCommand, type Ran, run, tryRun } from '../../lib/host/run.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';
import { cut, startSite, status, whole } from './binaries/server.ts';

const project = join(import.meta.dirname, '../..');
const system = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const withThisNode = `${dirname(process.execPath)}:${system}`;
const version = /^\d+\.\d+\.\d+\n$/;

let scratch = '';
beforeAll(async () => {
  const { path, remove } = await scratchFolder();
  scratch = path;
  return remove;
});

/** Runs a launcher with nothing in its environment but what is given, as a first login has it. */
const launch = (
  launcher: string,
  args: readonly string[],
  options: { path?: string; env?: Readonly<Record<string, string>>; cwd?: string } = {},
): Promise<Ran> => {
  const env = {
    PATH: withThisNode,
    HOME: join(scratch, 'home'),
    HARDWAY_CACHE: join(scratch, 'cache'),
    ...options.env,
    TMPDIR: scratch,
  };
  const words = Object.entries({ ...env, ...(options.path && { PATH: options.path }) }).map((pair) => pair.join('='));
  return tryRun('env', ['-i', ...words, launcher, ...args], {
    timeout: 110_000,
    ...(options.cwd && { cwd: options.cwd }),
  });
};

/** A folder with one command in it, to be put first on PATH. */
const fakeCommand = async (name: string, script: string): Promise<string> => {
  const folder = await mkdtemp(join(scratch, 'path-'));
  await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, name), 0o755);
  return folder;
};

/** What a clone holds, without packages. */
const clone = async (): Promise<string> => {
  const folder = join(await mkdtemp(join(scratch, 'clone-')), 'hardway');
  await mkdir(folder);
  for (const part of ['bin', 'lib', 'steps', 'package.json', 'package-lock.json'])
    await cp(join(project, part), join(folder, part), { recursive: true });
  return folder;
};

/** A registry that nobody answers for: discard's port, on loopback. */
const offline = { npm_config_registry: 'http://127.0.0.1:9/', npm_config_fetch_retries: '0' };

describe('the launcher', () => {
  test('says its version and nothing else', async () => {
    const ran = await launch(join(project, 'bin/hardway'), ['--version']);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(`${ran.stdout}\n`).toMatch(version);
  });

  test('works from any folder and through a chain of links, relative ones too', async () => {
    await symlink(join(project, 'bin/hardway'), join(scratch, 'one'));
    await symlink('one', join(scratch, 'two'));
    for (const [launcher, cwd] of [
      ['./two', scratch],
      [join(scratch, 'two'), '/'],
      ['./hardway', join(project, 'bin')],
    ] as const) {
      expect(await launch(launcher, ['--version'], { cwd })).toMatchObject({ code: 0, stderr: '' });
    }
  });

  test('names commands as they were typed: its name where the shell finds it, else its path', async () => {
    const folder = await mkdtemp(join(scratch, 'path-'));
    await symlink(join(project, 'bin/hardway'), join(folder, 'hardway'));
    for (const [launcher, path, named] of [
      ['./hardway', withThisNode, './hardway'],
      [join(folder, 'hardway'), withThisNode, join(folder, 'hardway')],
      ['hardway', `${folder}:${withThisNode}`, 'hardway'],
      ['./hardway', `${folder}:${withThisNode}`, 'hardway'],
    ] as const) {
      const ran = await launch(launcher, ['up', '--help'], { path, cwd: join(project, 'bin') });
      expect(ran.stdout).toContain(`Usage: ${named} up`);
      expect(ran.stdout).toContain(`  sudo ${named} up --to kube-apiserver`);
    }
  });

  test('passes arguments on as they are and ends with the exit code of the program', async () => {
    const ran = await launch(join(project, 'bin/hardway'), ['no such; command']);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('no such; command');
  });

  test('becomes root for the commands that need it, and for no other', async () => {
    const list = /^(.+)\) as=root ;;$/m.exec(await readFile(join(project, 'bin/hardway'), 'utf8'))?.[1]?.split(' | ');
    const needsRoot = Object.entries(commands).filter(([, { needs }]) => needs !== 'nobody');
    expect(list).toEqual(needsRoot.map(([name]) => name));
  });

  test.for([
    [['up'], true],
    [['up', '-h'], false],
    [['--version'], false],
    [['steps'], false],
    [['kubectl', '-h'], false],
    [['kubectl', 'get', '-h'], true],
    [['kubectl', '--namespace=x', 'get', '--help'], true],
    [['kubectl', '--', 'get', '-h'], true],
  ] as const)('asks sudo for %o: %s', async ([args, asked]) => {
    const nobody = await fakeCommand('id', 'echo 1000');
    const sudo = await fakeCommand('sudo', 'echo "sudo was asked"');
    const ran = await launch(join(project, 'bin/hardway'), args, { path: `${nobody}:${sudo}:${withThisNode}` });
    expect(ran.stdout.includes('sudo was asked'), ran.stderr).toBe(asked);
  });

  test('runs every command of root with a whole PATH and no code that is cached in a home', async (context) => {
    needsRoot(context);
    const node = await fakeCommand(
      'node',
      'case $1 in --version) echo v24.0.0 ;; *) echo "$NODE_COMPILE_CACHE $PATH" ;; esac',
    );
    const { stdout } = await launch(join(project, 'bin/hardway'), ['doctor'], { path: `${node}:/usr/bin:/bin` });
    expect(stdout).toMatch(/:\/usr\/sbin:.*:\/sbin:/);
    expect(stdout).not.toContain(join(scratch, 'home'));
  });

  test('hands every variable of ours to root by its name, never by its value', async () => {
    const nobody = await fakeCommand('id', 'echo 1000');
    const sudo = await fakeCommand('sudo', 'printf "%s\\n" "$@"');
    const path = `${nobody}:${sudo}:${withThisNode}`;
    const env = { HARDWAY_POD_CIDR: '10.9.0.0/16', HARDWAY_MIRROR: 'https://m.example' };
    const { stdout } = await launch(join(project, 'bin/hardway'), ['up'], { path, env });
    const kept = /^--preserve-env=(.*)$/m.exec(stdout)?.[1]?.split(',');
    expect(kept).toEqual(expect.arrayContaining([...Object.keys(env), 'HARDWAY_CALLED', 'HARDWAY_CACHE', 'LANG']));
    for (const value of Object.values(env)) expect(stdout).not.toContain(value);
  });

  test('passes over an old Node on PATH for the one that it brought', async () => {
    const old = await fakeCommand('node', 'echo v22.17.1');
    const brought = join(scratch, 'home/.cache/hardway/node/node_modules/node/bin');
    await mkdir(brought, { recursive: true });
    await symlink(process.execPath, join(brought, 'node'));
    const ran = await launch(join(project, 'bin/hardway'), ['--version'], { path: `${old}:${system}` });
    await rm(join(scratch, 'home'), { recursive: true });
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(`${ran.stdout}\n`).toMatch(version);
  });

  test.for([
    ['a folder that all may write', async (folder: string) => chmod(folder, 0o777)],
    ['a user who is neither root nor who asks', async (folder: string) => chown(join(folder, 'node'), 61_234, 0)],
  ] as const)('passes over a Node of %s', async ([, spoil], context) => {
    needsRoot(context);
    const theirs = await fakeCommand('node', 'case $1 in --version) echo v24.0.0 ;; *) echo root ran this ;; esac');
    expect(await launch(join(project, 'bin/hardway'), ['steps'], { path: `${theirs}:${system}` })).toMatchObject({
      stdout: 'root ran this',
    });
    await spoil(theirs);
    const npm = await fakeCommand('npm', 'exit 1');
    const ran = await launch(join(project, 'bin/hardway'), ['steps'], { path: `${npm}:${theirs}:${system}` });
    expect(ran.stdout).toBe('');
    expect(ran.stderr).toContain('npm install node@24');
  });

  test('takes an empty HARDWAY_CACHE as none, and no relative one', async () => {
    const script = await fakeCommand('cache', `project=${project}; . "$project/bin/node.sh"; echo "$cache"`);
    const cacheOf = (value: string) => launch(join(script, 'cache'), [], { env: { HARDWAY_CACHE: value } });
    expect(await cacheOf('')).toMatchObject({ code: 0, stdout: '/var/cache/hardway' });
    expect(await cacheOf('here')).toMatchObject({ code: 2, stderr: expect.stringContaining('export HARDWAY_CACHE=/') });
  });

  test.for([
    ['a file', 'echo >"$1"', /cache is a regular file, and .*cache is to be a folder/],
    ['a FIFO', 'mkfifo "$1"', /cache is a fifo/],
    ['a link to nothing', 'ln -s /nowhere "$1"', /cache is a link that leads to nothing/],
    ['no folder of its own', 'mkdir "$1" "$1/bin"; echo >"$1/.profile"', /no folder of its own: \.profile is in it/],
    ['below a file', 'mkdir "$1"; echo >"$1/file"', /file is a regular file, and .*file\/cache is to be a folder/],
  ] as const)('says at once of a cache that is %s what it is', async ([, make, words]) => {
    const place = join(await mkdtemp(join(scratch, 'odd-')), 'cache');
    await run('sh', ['-euc', make, 'sh', place]);
    const npm = await fakeCommand('npm', 'echo npm was asked >&2; exit 1');
    const cache = make.includes('/file') ? join(place, 'file/cache') : place;
    const ran = await launch(join(project, 'bin/hardway'), ['status'], {
      path: `${npm}:${system}`,
      env: { HARDWAY_CACHE: cache },
    });
    expect(ran).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(words) });
    expect(ran.stderr).toContain('export HARDWAY_CACHE=');
    expect(ran.stderr).not.toContain('npm was asked');
  });

  test('says at once of a disk that has no room for Node that it has none', async (context) => {
    needsRoot(context);
    const npm = await fakeCommand('npm', 'echo npm was asked >&2; exit 1');
    const old = await fakeCommand('node', 'echo v18.0.0');
    const cache = await mkdtemp(join(scratch, 'full-'));
    const onFullDisk = await fakeCommand(
      'full',
      `exec unshare --mount sh -euc 'mount -t tmpfs -o size=2m,mode=755 none ${cache}; exec ${project}/bin/hardway status'`,
    );
    const env = { HARDWAY_CACHE: cache };
    const ran = await launch(join(onFullDisk, 'full'), [], { path: `${npm}:${old}:${system}`, env });
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringMatching(/2 MB are free on the disk of .*\/node/) });
    expect(ran.stderr).not.toContain('npm was asked');
  });

  test('makes a cache that all may read and only root may write, whatever the umask', async () => {
    const npm = await fakeCommand('npm', 'mkdir -p node_modules/node/bin; cp /bin/true node_modules/node/bin/node');
    const script = await fakeCommand(
      'vm',
      `umask "$1"; project=${project}; . "$project/bin/node.sh"; bring_shared_node`,
    );
    for (const umask of ['077', '000']) {
      const cache = join(scratch, `umask-${umask}`);
      const env = { HARDWAY_CACHE: cache, PATH: `${npm}:${withThisNode}` };
      expect(await launch(join(script, 'vm'), [umask], { env })).toMatchObject({ code: 0 });
      for (const folder of ['', 'node', 'node/node_modules/node/bin'])
        expect((await stat(join(cache, folder))).mode & 0o777, `${umask} ${folder}`).toBe(0o755);
    }
  });

  test('mends what earlier versions left: a closed cache, and a Node of a user that is not here', async (context) => {
    needsRoot(context);
    const cache = join(scratch, 'closed');
    const bin = join(cache, 'node/node_modules/node/bin');
    await mkdir(bin, { recursive: true, mode: 0o700 });
    await cp('/bin/true', join(bin, 'node'));
    for (const part of ['node', '']) await chown(join(bin, part), 61_234, 61_234);
    const script = await fakeCommand('mend', `project=${project}; . "$project/bin/node.sh"; mend_cache; find_node`);
    const env = { HARDWAY_CACHE: cache, PATH: system, HOME: join(scratch, 'home') };
    expect(await launch(join(script, 'mend'), [], { env, path: system })).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await stat(bin)).toMatchObject({ uid: 0, gid: 0 });
    expect((await stat(cache)).mode & 0o777).toBe(0o755);
    expect((await stat(bin)).mode & 0o777).toBe(0o755);
  });

  test.for(['curl', 'wget'])(
    'downloads with %s what is cut more often than it fails, going on where it stopped',
    async (tool) => {
      const data = randomBytes(200_000);
      const site = await startSite();
      const file = join(scratch, `file-${tool}`);
      site.answers.set('/file', [...Array.from({ length: 6 }, () => cut(data, file)), whole(data)]);
      const only = await fakeCommand('sleep', 'exit 0');
      for (const name of [tool, 'stat', 'env', 'sh', 'mktemp', 'rm', 'tail', 'sed', 'id', 'readlink', 'dirname'])
        await symlink((await findCommand(name)) ?? '', join(only, name));
      const script = await fakeCommand(
        'down',
        `project=${project}; . "$project/bin/node.sh"; how=-sS; fetch "$1" "$2"`,
      );
      const ran = await launch(join(script, 'down'), [`${site.url}/file`, file], { path: only });
      expect(ran.code, ran.stderr).toBe(0);
      expect((await readFile(file)).equals(data)).toBe(true);
      expect(site.asked).toHaveLength(7);
      site.answers.set('/none', [status(404)]);
      expect((await launch(join(script, 'down'), [`${site.url}/none`, `${file}-2`], { path: only })).code).toBe(1);
      await site.close();
    },
  );

  test('lets Node trust the CAs that this machine was told to trust, and leaves it alone where there are none', async (context) => {
    needsRoot(context);
    const script = await fakeCommand(
      'trust',
      `project=${project}; . "$project/bin/node.sh"; trust_own_cas; echo "<\${NODE_USE_SYSTEM_CA-}>"`,
    );
    const trusted = async (made: string): Promise<string> => {
      const mounts = `mount -t tmpfs none /usr/local/share && mkdir /usr/local/share/ca-certificates && ${made} && exec "$0"`;
      const { stdout } = await tryRun('unshare', ['-m', 'sh', '-c', mounts, join(script, 'trust')]);
      return stdout;
    };
    expect(await trusted('true')).toBe('<>');
    expect(await trusted('touch /usr/local/share/ca-certificates/company.crt')).toBe('<1>');
    expect(await trusted('export NODE_USE_SYSTEM_CA=0 && touch /usr/local/share/ca-certificates/company.crt')).toBe(
      '<0>',
    );
  });

  test('brings Node for VMs though this machine has one, once', async () => {
    const npm = await fakeCommand(
      'npm',
      'echo "$PWD $*"; mkdir -p node_modules/node/bin; cp /bin/true node_modules/node/bin/node',
    );
    const script = await fakeCommand('vm', `project=${project}; . "$project/bin/node.sh"; bring_shared_node`);
    const cache = { HARDWAY_CACHE: join(scratch, 'shared'), PATH: `${npm}:${withThisNode}` };
    const first = await launch(join(script, 'vm'), [], { env: cache });
    expect(first).toMatchObject({ code: 0, stdout: '' });
    expect(first.stderr).toContain(`bringing Node 24 to ${join(scratch, 'shared/node')}`);
    expect(await launch(join(script, 'vm'), [], { env: cache })).toEqual({ stdout: '', stderr: '', code: 0 });
  });

  test('copies for VMs the Node that it brought for a person, and fetches none', async () => {
    const mine = join(scratch, 'mine/node_modules/node/bin');
    await mkdir(mine, { recursive: true });
    await cp('/bin/true', join(mine, 'node'));
    const npm = await fakeCommand('npm', 'exit 1');
    const script = await fakeCommand('vm', `project=${project}; . "$project/bin/node.sh"; bring_shared_node "$1"`);
    const env = { HARDWAY_CACHE: join(scratch, 'copied'), PATH: `${npm}:${withThisNode}` };
    const ran = await launch(join(script, 'vm'), [join(mine, 'node')], { env });
    expect(ran).toEqual({ stdout: '', stderr: '', code: 0 });
    const copy = join(scratch, 'copied/node/node_modules/node/bin/node');
    expect((await readFile(copy)).equals(await readFile('/bin/true'))).toBe(true);
  });

  test('says what it could not bring and where the log is when no Node will do and the registry does not answer', async () => {
    const old = await fakeCommand('node', '[ "$1" = --version ] && echo v18.0.0 || exit 1');
    const npm = await fakeCommand('npm', 'echo "connect ECONNREFUSED 127.0.0.1:9" >&2; exit 1');
    const ran = await launch(join(project, 'bin/hardway'), ['--version'], { path: `${npm}:${old}:${system}` });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('npm install node@24');
    expect(ran.stderr).toContain('ECONNREFUSED');
    expect(ran.stderr).toMatch(/\/hardway-setup\.\w+/);
    expect(ran.stderr).toContain('online');
    expect(ran.stdout).toBe('');
  });

  test('says what failed when the npm packages cannot be brought, and leaves no half of them', async () => {
    const folder = await clone();
    const ran = await launch(join(folder, 'bin/hardway'), ['--version'], { env: offline });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('npm ci');
    expect(ran.stderr).toContain('online');
    expect(existsSync(join(folder, 'node_modules/.package-lock.json'))).toBe(false);
    const again = await launch(join(folder, 'bin/hardway'), ['--version'], { env: offline });
    expect(again.code).toBe(2);
  });

  test('two at once in a fresh clone bring the packages once and both work', async () => {
    const folder = await clone();
    // The machine's own npm settings and cache: this one does reach the registry.
    const { PATH: _path, ...own } = process.env as Record<string, string>;
    const both = await Promise.all([1, 2].map(() => launch(join(folder, 'bin/hardway'), ['--version'], { env: own })));
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both.filter(({ stderr }) => stderr.includes('bringing the npm packages'))).toHaveLength(1);
    expect(await launch(join(folder, 'bin/hardway'), ['--version'])).toMatchObject({ code: 0, stderr: '' });
  });
});
