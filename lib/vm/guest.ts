import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Flavour } from './record.ts';

/** Where the project and the cache are inside every VM. */
export const inside = {
  project: '/opt/hardway',
  cache: '/var/cache/hardway',
  address: '10.240.0.10',
  hostname: 'kubernetes',
} as const;

/** A file, or with `link` a symbolic link, of a VM's disk. */
export interface GuestFile {
  readonly path: string;
  readonly text?: string;
  readonly link?: string;
  readonly mode?: number;
}

const resolvConf = (nameserver?: string): string =>
  nameserver ? `nameserver ${nameserver}\n` : '# This VM has no way out, so there is no server to ask.\n';

/** What every VM has on its disk before it first boots. */
export const guestFiles = (flavour: Flavour, nameserver?: string): GuestFile[] => [
  { path: '/etc/hostname', text: `${inside.hostname}\n` },
  {
    path: '/etc/hosts',
    text: `127.0.0.1 localhost\n::1 localhost ip6-localhost\n${inside.address} ${inside.hostname}\n`,
  },
  // An Ubuntu has systemd-resolved's there.
  ...(flavour === 'plain' ? [{ path: '/etc/resolv.conf', text: resolvConf(nameserver) }] : []),
  { path: '/usr/local/bin/hardway', link: `${inside.project}/bin/hardway` },
];

/** The VM's view of cgroup v1: systemd-nspawn mounts it read-only, and containerd and kubelet have to write there. */
export const writableCgroups: GuestFile[] = [
  {
    path: '/etc/systemd/system/hardway-cgroups.service',
    text: `[Unit]
Description=Make the cgroups writable for containerd and kubelet
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for d in /sys/fs/cgroup/*/; do mount -o remount,bind,rw "$$d" || :; done'
`,
  },
  {
    path: '/etc/systemd/system/sysinit.target.wants/hardway-cgroups.service',
    link: '../hardway-cgroups.service',
  },
];

/** Writes them below `root`. */
export const writeGuestFiles = async (root: string, files: readonly GuestFile[]): Promise<void> => {
  for (const { path, text = '', link, mode = 0o644 } of files) {
    const place = `${root}${path}`;
    await mkdir(dirname(place), { recursive: true });
    await rm(place, { force: true });
    await (link ? symlink(link, place) : writeFile(place, text, { mode }));
  }
};
