import { createHash } from 'node:crypto';
import { type Dirent, lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { paths } from '../paths.ts';
import { type Section, section } from './section.ts';

/** Folders in which programs keep files. Homes are covered too, though not as deep. */
const roots = ['/etc', '/opt', '/usr/local', '/var/lib', '/var/log', '/run'];

/** Folders and files that change by themselves on an idle machine, with the reason. */
const ignoredPaths: readonly (readonly [pattern: RegExp, why: string])[] = [
  [new RegExp(`^(${paths.root}|${paths.vms}|${paths.lock.replace('.', '\\.')}[^/]*)(/|$)`), 'our own, gone last'],
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
 * Records every file below the roots and the homes, in one synchronous walk, which is several times faster than
 * thousands of promises. Does not enter other file systems that are mounted below: their content is not this machine's
 * state.
 */
export const files = (homes: readonly string[]): Section => {
  const found: [string, string][] = [];
  const visit = (path: string, device: number, depth: number): void => {
    let stat: Stats;
    let entries: Dirent[] = [];
    try {
      stat = lstatSync(path);
      found.push([path, describe(path, stat)]);
      if (!stat.isDirectory() || depth === 0 || (device !== 0 && stat.dev !== device)) return;
      entries = readdirSync(path, { withFileTypes: true });
    } catch {
      return; // removed between listing and reading
    }
    for (const { name } of entries) {
      const inner = `${path}/${name}`;
      if (!isIgnored(inner)) visit(inner, stat.dev, depth - 1);
    }
  };
  for (const root of roots) visit(root, 0, 32);
  for (const home of homes) visit(home, 0, homeDepth);
  return section(found);
};
