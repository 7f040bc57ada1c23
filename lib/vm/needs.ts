import { readdir, readlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UserError } from '../engine/errors.ts';
import { hasApt, installPackages } from '../host/apt.ts';
import { exists } from '../host/files.ts';
import { paths } from '../host/paths.ts';
import { CommandFailed, findCommand, runShown, tryRun } from '../host/run.ts';
import { readSysctl } from '../host/sysctl.ts';

/** Debian or Ubuntu package that contains each program or file. */
export const providers = {
  debootstrap: 'debootstrap',
  'systemd-nspawn': 'systemd-container',
  ip: 'iproute2',
  slirp4netns: 'slirp4netns',
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-system-aarch64': 'qemu-system-arm',
  mke2fs: 'e2fsprogs',
  ssh: 'openssh-client',
  '/usr/share/keyrings/debian-archive-keyring.gpg': 'debian-archive-keyring',
  '/usr/share/keyrings/ubuntu-archive-keyring.gpg': 'ubuntu-keyring',
} as const;
export type Need = keyof typeof providers;

/** What the making of a VM is given: how it tells what it does, and what ends it. */
export interface Making {
  readonly report: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

const isThere = async (need: Need): Promise<boolean> =>
  need.startsWith('/') ? exists(need) : (await findCommand(need)) !== undefined;

/** Installs the packages of what is missing. Throws a UserError with apt's own words where apt-get cannot. */
export const install = async (needs: readonly Need[], { report, signal }: Making): Promise<void> => {
  const there = await Promise.all(needs.map(isThere));
  const packages = needs.filter((_, index) => !there[index]).map((need) => providers[need]);
  if (packages.length === 0) return;
  const names = packages.join(' ');
  if (!(await hasApt())) {
    throw new UserError(`A VM needs ${names}, and this machine has no apt-get to install it with`, `install ${names}`);
  }
  report(`Installing ${names} on this machine`);
  try {
    await installPackages(packages, (argv) => runShown(argv, { signal }));
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    throw new UserError(
      `A VM needs ${names}, and apt-get could not install it: ${error.words}`,
      `apt-get update && apt-get install ${names}, then the same command again`,
    );
  }
};

/**
 * Brings a Node for the VMs into the cache, if none is there: their distribution's is too old, and they have no network.
 * It is a copy of the one that runs this, or comes as the launcher's own does. Throws a UserError with the words of what
 * failed.
 */
export const ensureNode = async ({ report, signal }: Making): Promise<void> => {
  if (await exists(`${paths.cache}/node/node_modules/node/bin/node`)) return;
  report('Fetching Node 24 for the VMs');
  const project = resolve(import.meta.dirname, '../..');
  const script = 'project=$1; . "$project/bin/node.sh"; bring_shared_node "$2"';
  const options = { env: { HARDWAY_CACHE: paths.cache }, timeout: 900_000, signal };
  const { code, stderr } = await tryRun('sh', ['-euc', script, 'sh', project, process.execPath], options);
  if (code === 0) return;
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => line.trim());
  throw new UserError(`The VMs need Node 24 in the cache: ${lines.slice(-8, -1).join('\n')}`, lines.at(-1));
};

/** inotify instances that systemd, containerd and the components of one lab hold: 33 were counted in a running VM. */
const perVm = 40;

const held = async (pid: string): Promise<number> => {
  const folder = `/proc/${pid}/fd`;
  const files = await readdir(folder).catch(() => []); // the process has ended
  const targets = await Promise.all(files.map((file) => readlink(`${folder}/${file}`).catch(() => '')));
  return targets.filter((target) => target === 'anon_inode:inotify').length;
};

/**
 * Throws a UserError where one more container VM would run out of inotify instances. Its root is this machine's, so all
 * VMs share one limit (128 on Debian and Ubuntu), and the kubelet of the fourth says "too many open files".
 */
export const needInotify = async (): Promise<void> => {
  const limit = Number(readSysctl('fs.inotify.max_user_instances') ?? Number.POSITIVE_INFINITY);
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const used = (await Promise.all(pids.map(held))).reduce((sum, number) => sum + number, 0);
  if (used + perVm <= limit) return;
  throw new UserError(
    `fs.inotify.max_user_instances is ${limit}, of which ${used} are in use; another VM needs about ${perVm}`,
    'sysctl -w fs.inotify.max_user_instances=1024, or hardway vm delete one that you no longer need',
  );
};
