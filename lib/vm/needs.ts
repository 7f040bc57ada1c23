import { access, constants } from 'node:fs/promises';
import { UserError } from '../engine/errors.ts';
import { run, tryRun } from '../host/run.ts';

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

const folders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

const isThere = async (need: Need): Promise<boolean> => {
  const places = need.startsWith('/') ? [need] : folders.map((folder) => `${folder}/${need}`);
  const found = await Promise.all(
    places.map((place) =>
      access(place, constants.F_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
};

/** Installs the packages of what is missing. Throws a UserError with their names where apt-get cannot. */
export const install = async (needs: readonly Need[], report: (line: string) => void): Promise<void> => {
  const there = await Promise.all(needs.map(isThere));
  const packages = needs.filter((_, index) => !there[index]).map((need) => providers[need]);
  if (packages.length === 0) return;
  const names = packages.join(' ');
  if ((await tryRun('apt-get', ['--version'])).code !== 0) {
    throw new UserError(`A VM needs ${names}, and this machine has no apt-get to install it with`, `install ${names}`);
  }
  report(`Installing ${names} on this machine`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const args = ['install', '--yes', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', ...packages];
  if ((await tryRun('apt-get', args, { env })).code === 0) return;
  // The package lists of a new machine are empty or old.
  await run('apt-get', ['update'], { env });
  const second = await tryRun('apt-get', args, { env });
  if (second.code !== 0) {
    const reason = second.stderr.trim().split('\n').at(-1) ?? '';
    throw new UserError(`A VM needs ${names}, and apt-get could not install it: ${reason}`, `apt-get install ${names}`);
  }
};
