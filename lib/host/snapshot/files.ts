import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { paths } from '../paths.ts';
import { type Section, section } from './section.ts';

/** Folders in which programs keep files. Homes are covered too, though not as deep. */
const roots = ['/etc', '/opt', '/usr/local', '/var/lib', '/var/log', '/run'];

/** Folders and files that change by themselves on an idle machine, with the reason. */
const ignoredPaths: readonly (readonly [pattern: RegExp, why: string])[] = [
  [new RegExp(`^(${paths.root}|${paths.vms}|${paths.lock.replace('.', '\\.')}[^/]*)(/|$)`), 'our own, gone last'],
  [new RegExp(`^${paths.settings.replace('.', '\\.')}$`), "a person's choice: hardway init writes it, and no step"],
  [/^\/var\/log\/(?!pods$|containers$|calico$)/, 'logs are written; only that a folder of ours is there counts'],
  [/^\/var\/lib\/(apt|dpkg|ucf|systemd|update-notifier|ubuntu-release-upgrader|PackageKit|snapd)\//, 'package lists'],
  [/^\/var\/lib\/(NetworkManager|dhcp|dhcpcd|chrony|ntp|logrotate|plocate|mlocate|private|fwupd|upower)\//, 'timers'],
  [/^\/var\/lib\/(docker|lxc|lxd|libvirt|postgresql|mysql)\//, 'data of foreign daemons, large and alive'],
  [/^\/etc\/(mtab|ld\.so\.cache|resolv\.conf|adjtime|\.pwd\.lock)$/, 'rewritten by the system; /run has the rest'],
  [/^\/run\/(systemd|udev|log|user|lock|credentials|sudo|utmp|screen|tmux|motd\.d|motd\.dynamic)(\/|$)/, 'sessions'],
  [/^\/run\/(NetworkManager|dhclient[^/]*|dbus|resolvconf|mount|blkid|snapd|cloud-init|needrestart)(\/|$)/, 'leases'],
  [/^\/run\/(agetty\.reload|xtables\.lock|initctl|host|shm|.*\.(pid|lock))(\/|$)/, 'locks and pids'],
  [/^\/run\/netns\/|^\/run\/containerd\/./, 'looked at by themselves'],
  [
    /\/(\.cache|\.npm|\.node_repl_history|\.bash_history|\.lesshst|\.viminfo|\.wget-hsts|\.local|\.config)(\/|$)/,
    'life',
  ],
  [/^\/(root|home\/[^/]+)\/\.kube\/cache\//, "kubectl's memory of API servers"],
];

/** Largest size in bytes of a file that is recorded by its checksum; a larger one is recorded by its size. */
const small = 64 * 1024;
/** Levels below a home that are covered: enough for .kube and .ssh, not for people's work. */
const homeDepth = 2;

const isIgnored = (path: string): boolean => ignoredPaths.some(([pattern]) => pattern.test(path));

const checksum = (path: string): string => createHash('sha1').update(readFileSync(path)).digest('base64url');

const describe = (path: string, stat: Stats): string => {
  const owner = `${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid}`;
  if (stat.isSymbolicLink()) return `link to ${readlinkSync(path)}`;
  if (stat.isDirectory()) return `folder ${owner}`;
  if (stat.isSocket()) return `socket ${owner}`;
  if (!stat.isFile()) return `special ${owner}`;
  return `file ${owner} ${stat.size > small ? `${stat.size} bytes` : checksum(path)}`;
};

/** Returns the permission bits of a folder as `describe` recorded them; undefined where it recorded no folder. */
export const folderMode = (recorded: string | undefined): number | undefined => {
  const octal = /^folder ([0-7]+) /.exec(recorded ?? '')?.[1];
  return octal === undefined ? undefined : Number.parseInt(octal, 8);
};

/**
 * Records every file below the roots, the homes and `places`, in one synchronous walk, which is several times faster
 * than thousands of promises. Does not enter other file systems that are mounted below: their content is not this
 * machine's state. The places are folders that a lab fills: there everything is recorded, also where the place itself is
 * a mount point or a link to a folder.
 */
export const files = (homes: readonly string[], places: readonly string[]): Section => {
  const found = new Map<string, string>();
  const record = (path: string): Stats | undefined => {
    try {
      const stat = lstatSync(path);
      found.set(path, describe(path, stat));
      return stat;
    } catch {
      return undefined; // removed between listing and reading
    }
  };
  const visit = (path: string, device: number, depth: number, skips = isIgnored): void => {
    const stat = record(path);
    if (!stat?.isDirectory() || depth === 0 || (device !== 0 && stat.dev !== device)) return;
    visitIn(path, stat.dev, depth - 1, skips);
  };
  const visitIn = (path: string, device: number, depth: number, skips: (path: string) => boolean): void => {
    try {
      for (const name of readdirSync(path))
        if (!skips(`${path}/${name}`)) visit(`${path}/${name}`, device, depth, skips);
    } catch {} // removed, or no folder
  };
  for (const root of roots) visit(root, 0, 32);
  for (const home of homes) visit(home, 0, homeDepth);
  for (const place of places) {
    const target = record(place) && statSync(place, { throwIfNoEntry: false });
    if (target?.isDirectory()) visitIn(place, target.dev, 32, () => false);
  }
  return section(found);
};
