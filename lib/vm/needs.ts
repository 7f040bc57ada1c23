import { UserError } from '../engine/errors.ts';
import { hasApt, installPackages } from '../host/apt.ts';
import { exists } from '../host/files.ts';
import { CommandFailed, findCommand } from '../host/run.ts';

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

const isThere = async (need: Need): Promise<boolean> =>
  need.startsWith('/') ? exists(need) : (await findCommand(need)) !== undefined;

/** Installs the packages of what is missing. Throws a UserError with apt's own words where apt-get cannot. */
export const install = async (needs: readonly Need[], report: (line: string) => void): Promise<void> => {
  const there = await Promise.all(needs.map(isThere));
  const packages = needs.filter((_, index) => !there[index]).map((need) => providers[need]);
  if (packages.length === 0) return;
  const names = packages.join(' ');
  if (!(await hasApt())) {
    throw new UserError(`A VM needs ${names}, and this machine has no apt-get to install it with`, `install ${names}`);
  }
  report(`Installing ${names} on this machine`);
  try {
    await installPackages(packages);
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    throw new UserError(
      `A VM needs ${names}, and apt-get could not install it: ${error.words}`,
      `apt-get update && apt-get install ${names}, then the same command again`,
    );
  }
};
