import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { commandLineOf } from '../../lib/host/proc.ts';
import { findCommand } from '../../lib/host/run.ts';
import { providers } from '../../lib/vm/needs.ts';
import { listVms } from '../../lib/vm/vm.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';

const program = join(import.meta.dirname, '../../bin/cli.ts');
const name = 'contract-signals';
const needed = ['systemd-nspawn', 'ip'] as const;

test('a signal to vm create ends what it runs on this machine, and leaves neither a tree nor a VM', async (context) => {
  needsRoot(context);
  for (const one of needed)
    context.skip((await findCommand(one)) === undefined, `${one} is missing: apt-get install ${providers[one]}`);
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  context.skip(!existsSync(keyring), `${keyring} is missing: apt-get install ${providers[keyring]}`);

  const scratch = await scratchFolder();
  const [cache, bin, pids] = ['cache', 'bin', 'pids'].map((one) => join(scratch.path, one)) as [string, string, string];
  const node = join(cache, 'node/node_modules/node/bin/node');
  await mkdir(dirname(node), { recursive: true });
  await symlink(process.execPath, node);
  await mkdir(bin);
  await writeFile(
    join(bin, 'debootstrap'),
    `#!/bin/sh\nsleep 600 & echo "$$ $!" >${pids}.new; mv ${pids}.new ${pids}; wait\n`,
  );
  await chmod(join(bin, 'debootstrap'), 0o755);

  const create = execa(process.execPath, [program, 'vm', 'create', name, '--suite', 'bookworm'], {
    env: { HARDWAY_CACHE: cache, PATH: `${bin}:${process.env['PATH']}` },
    reject: false,
  });
  const begun = async () => (existsSync(pids) ? (await readFile(pids, 'utf8')).trim().split(' ') : []);
  await expect.poll(begun, { timeout: 20_000 }).toHaveLength(2);
  create.kill('SIGTERM');
  const { exitCode, stderr } = await create;
  expect(stderr).toContain('interrupted');
  expect(exitCode).toBe(130);
  for (const pid of await begun()) expect(commandLineOf(Number(pid)), pid).toEqual([]);
  expect((await readdir(join(cache, 'vm'))).filter((entry) => entry.includes('.new-'))).toEqual([]);
  expect((await listVms()).map((vm) => vm.name)).not.toContain(name);
  await scratch.remove();
});
