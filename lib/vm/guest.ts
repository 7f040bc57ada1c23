import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Flavour } from './record.ts';

/** Paths and names inside every VM. */
export const inside = {
  project: '/opt/hardway',
  cache: '/var/cache/hardway',
  address: '10.240.0.10',
  hostname: 'kubernetes',
} as const;

/** A file of a VM's disk; with `link`, a symbolic link. */
export interface GuestFile {
  readonly path: string;
  readonly text?: string;
  readonly link?: string;
  readonly mode?: number;
}

const resolvConf = (nameserver?: string): string =>
  nameserver ? `nameserver ${nameserver}\n` : '# This VM has no way out, so there is no server to ask.\n';

/** Returns the files that every VM has before it first boots. */
export const guestFiles = (flavour: Flavour, nameserver?: string): GuestFile[] => [
  { path: '/etc/hostname', text: `${inside.hostname}\n` },
  {
    path: '/etc/hosts',
    text: `127.0.0.1 localhost\n::1 localhost ip6-localhost\n${inside.address} ${inside.hostname}\n`,
  },
  // On Ubuntu this file is systemd-resolved's.
  ...(flavour === 'plain' ? [{ path: '/etc/resolv.conf', text: resolvConf(nameserver) }] : []),
  { path: '/usr/local/bin/hardway', link: `${inside.project}/bin/hardway` },
];

/** Returns a unit that runs a command early at each boot, before what is named. */
const atBoot = (name: string, description: string, before: string, command: string): GuestFile[] => [
  {
    path: `/etc/systemd/system/${name}.service`,
    text: `[Unit]
Description=${description}
DefaultDependencies=no
Before=${before}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${command}
`,
  },
  { path: `/etc/systemd/system/sysinit.target.wants/${name}.service`, link: `../${name}.service` },
];

/**
 * Unit that makes cgroup v1 writable inside a VM: systemd-nspawn mounts it read-only, and containerd and kubelet write
 * there.
 */
export const writableCgroups: GuestFile[] = atBoot(
  'hardway-cgroups',
  'Make the cgroups writable for containerd and kubelet',
  'sysinit.target',
  `/bin/sh -c 'for d in /sys/fs/cgroup/*/; do mount -o remount,bind,rw "$$d" || :; done'`,
);

/** Parameters that a kubelet sets (setupKernelTunables in kubernetes/pkg/kubelet/cm), and does not start without. */
const ofKubelet = [
  ...['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'],
  ...['kernel/keys/root_maxkeys', 'kernel/keys/root_maxbytes'],
];

/**
 * Unit that keeps a container VM from the kernel parameters of the machine that it runs on: those of its own network are
 * its own, those that a kubelet sets become files of the VM's that change nothing, and all others are read-only.
 */
export const ownParameters: GuestFile[] = [
  {
    path: '/usr/local/lib/hardway-parameters.sh',
    text: `set -eu
for folder in /proc/sys/*/; do
  [ "$folder" != /proc/sys/net/ ] || continue
  mount --bind "$folder" "$folder"
  if [ "$folder" = /proc/sys/kernel/ ]; then # these names are the VM's own
    for name in hostname domainname; do mount --bind "$folder$name" "$folder$name"; done
  fi
  mount -o remount,bind,ro "$folder"
done
for name in ${ofKubelet.join(' ')}; do
  file=$(mktemp -p /run)
  cat "/proc/sys/$name" >"$file"
  chmod 644 "$file"
  mount --bind "$file" "/proc/sys/$name"
  rm "$file"
done
`,
  },
  ...atBoot(
    'hardway-parameters',
    'Keep the kernel parameters of the machine that this VM runs on',
    'sysinit.target systemd-sysctl.service',
    '/bin/sh /usr/local/lib/hardway-parameters.sh',
  ),
];

/** Writes files below `root`. */
export const writeGuestFiles = async (root: string, files: readonly GuestFile[]): Promise<void> => {
  for (const { path, text = '', link, mode = 0o644 } of files) {
    const place = `${root}${path}`;
    await mkdir(dirname(place), { recursive: true });
    await rm(place, { force: true });
    await (link ? symlink(link, place) : writeFile(place, text, { mode }));
  }
};

export interface InsideOptions {
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** User that runs it; root by default. */
  readonly user?: string | undefined;
}

const knownTerminals = /^(xterm|screen|tmux|linux|vt\d|rxvt|ansi|dumb)/;

/** Returns the command line that runs inside a VM as that user, with a login's environment instead of the caller's. */
export const insideWords = (argv: readonly string[], { env, user = 'root' }: InsideOptions = {}): string[] => {
  const home = user === 'root' ? '/root' : `/home/${user}`;
  const term = process.env['TERM'] ?? '';
  const settings = {
    HOME: home,
    USER: user,
    LOGNAME: user,
    SHELL: '/bin/bash',
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: 'C.UTF-8',
    // A VM knows only the terminals of ncurses-base; any other is treated as xterm.
    TERM: knownTerminals.test(term) ? term : 'xterm-256color',
    ...env,
  };
  const words = [
    'env',
    '-i',
    '-C',
    home,
    ...Object.entries(settings).map(([key, value]) => `${key}=${value}`),
    ...argv,
  ];
  return user === 'root' ? words : ['runuser', '-u', user, '--', ...words];
};
