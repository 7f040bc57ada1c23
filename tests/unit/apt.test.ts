import { chmod, readFile, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { addedPackages, installPackages, type Perform, removedPackages } from '../../lib/host/apt.ts';
import { CommandFailed, runShown } from '../../lib/host/run.ts';
import { install } from '../../lib/vm/needs.ts';
import { scratchFolder } from '../fixtures.ts';

// No keyring is on this machine.
vi.mock('../../lib/host/files.ts', async (original) => ({
  ...(await original<typeof import('../../lib/host/files.ts')>()),
  exists: async () => false,
}));

// An apt-get of this test's own, first on PATH: what it knows and reaches are files, what it was asked is in a log.
const aptGet = `#!/bin/sh
cd "$(dirname "$0")"
echo "$* [$DEBIAN_FRONTEND]" >>log
case " $* " in
*' update '*)
  [ -e online ] || { echo 'E: Temporary failure resolving the archive' >&2; exit 100; }
  touch lists current ;;
*' --simulate '*)
  [ -e lists ] || { echo 'E: Unable to locate package tmux' >&2; exit 100; }
  echo 'NOTE: This is only a simulation!'
  echo 'Inst libc6 [2.36-9] (2.36-9+deb12u10 Debian:12.10/stable [amd64])'
  echo 'Inst libevent-core (2.1.12-8 Debian:12/stable [amd64])'
  echo 'Inst tmux (3.3a-3 Debian:12/stable [amd64])'
  echo 'Conf tmux (3.3a-3 Debian:12/stable [amd64])' ;;
*' install '*)
  [ -e current ] || { echo 'E: Failed to fetch tmux.deb  404  Not Found' >&2; exit 100; } ;;
esac
`;

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
const at = (name: string): string => `${scratch.path}/${name}`;
beforeEach(async () => {
  scratch = await scratchFolder();
  await writeFile(at('apt-get'), aptGet);
  await chmod(at('apt-get'), 0o755);
  vi.stubEnv('PATH', `${scratch.path}:${process.env['PATH']}`);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await scratch.remove();
});

const asked = async (): Promise<string[]> =>
  (await readFile(at('log'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => / (update|purge)\b/.exec(line)?.[1] ?? (line.includes('--simulate') ? 'simulate' : 'install'));
const machine = async (...has: readonly string[]): Promise<void> => {
  for (const name of has) await writeFile(at(name), '');
};

test('what a simulation only upgrades does not come to the machine with it', () => {
  const text = 'Inst libc6 [2.36] (2.37 Debian [amd64])\nInst tmux (3.3a-3 Debian [amd64])\nInst a:i386 (1 [i386])\n';
  expect(addedPackages(text)).toEqual(['tmux', 'a:i386']);
  expect(addedPackages('0 upgraded, 0 newly installed\n')).toEqual([]);
});

describe('packages', () => {
  test('are installed without a question, with an undo for exactly those that are new', async () => {
    await machine('lists', 'current');
    const performed: unknown[] = [];
    const perform: Perform = async (argv, undo) => {
      performed.push(argv, undo);
      await runShown(argv);
    };
    await installPackages(['tmux'], perform);
    const apt = ['apt-get', '-y', '-o', 'DPkg::Lock::Timeout=120'];
    expect(performed).toEqual([
      [...apt, 'install', '--no-install-recommends', 'tmux'],
      { kind: 'packages', names: ['libevent-core', 'tmux'] },
    ]);
    expect((await readFile(at('log'), 'utf8')).trim().split('\n').at(-1)).toMatch(/\[noninteractive\]$/);
  });

  test.each([
    ['has no lists', [], ['simulate', 'update', 'simulate', 'install']],
    ['has lists older than the archive', ['lists'], ['simulate', 'install', 'update', 'simulate', 'install']],
  ])('are installed on a machine that %s, after an update', async (_, has, order) => {
    await machine('online', ...has);
    await installPackages(['tmux']);
    expect(await asked()).toEqual(order);
  });

  test('that cannot be had on a machine without a network fail with the words of the update', async () => {
    const failure = installPackages(['tmux']);
    await expect(failure).rejects.toThrow(CommandFailed);
    await expect(failure).rejects.toThrow(/update: exit code 100\nE: Temporary failure resolving the archive$/);
  });

  test('are told in a dry run, where nothing that is missing comes to be known', async () => {
    const told: string[] = [];
    await installPackages(['tmux'], async (argv) => {
      told.push(argv.slice(4).join(' '));
    });
    expect(told).toEqual(['-o APT::Update::Error-Mode=any update', 'install --no-install-recommends tmux']);
  });
});

test('what a VM needs and cannot be had is an ordinary refusal with the reason and what to type', async () => {
  const missing = '/usr/share/keyrings/ubuntu-archive-keyring.gpg';
  await expect(install([missing], { report: () => {} })).rejects.toMatchObject({
    name: 'UserError',
    message: expect.stringContaining('Temporary failure resolving the archive'),
    next: 'apt-get update && apt-get install ubuntu-keyring, then the same command again',
  });
});

test('what a purge would remove is read from its simulation, with settings or without', () => {
  const text = 'Purg myfw [1]\nRemv libx [2:3.4 amd64]\nPurg iptables [1.8.9-2]\nInst other (1 [all])\n';
  expect(removedPackages(text)).toEqual(['myfw', 'libx', 'iptables']);
  expect(removedPackages('0 to remove\n')).toEqual([]);
});
