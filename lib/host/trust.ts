import type { Stats } from 'node:fs';
import { readlink, realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { accounts, groups } from './accounts.ts';
import { mostLinks, namesIn } from './anchor.ts';
import { statIfThere } from './files.ts';
import { quoted, tryRun } from './run.ts';

/** A part of a path that somebody else can change, the reason, and the command that ends it. */
export interface Fault {
  readonly path: string;
  readonly why: string;
  readonly hint: string;
}

/** Returns the users that may change what this process uses: root, and whoever runs it. */
const runners = (): readonly number[] => [...new Set([0, process.getuid?.() ?? 0])];

/** Returns the user behind sudo, as sudo(8) tells it; undefined where root runs this by itself. */
export const askingUser = (): number | undefined => {
  const uid = process.env['SUDO_UID'] ?? '';
  return process.getuid?.() === 0 && /^\d+$/.test(uid) ? Number(uid) : undefined;
};

const nameOf = async (uid: number): Promise<string> => {
  const found = (await accounts()).find((account) => account.uid === uid);
  return found ? `${found.name} (uid ${uid})` : `uid ${uid}`;
};

/**
 * Tells whether only these users are in a group. The group of a person's own, which Ubuntu's umask 002 lets write, has
 * nobody else; Debian's staff, which may write to /usr/local, has nobody at all. A group that a directory service knows
 * may have anybody.
 */
const isGroupOf = async (gid: number, owners: readonly number[]): Promise<boolean> => {
  const [users, group] = [await accounts(), (await groups()).find((one) => one.gid === gid)];
  if (!group && (await tryRun('getent', ['group', String(gid)])).code === 0) return false;
  const listed = group?.members ?? [];
  const members = [
    ...listed.map((name) => users.find((user) => user.name === name)?.uid),
    ...users.filter((user) => user.gid === gid).map(({ uid }) => uid),
  ];
  return members.every((uid) => uid !== undefined && owners.includes(uid));
};

/** Judges one component of a path. `last` is that to which the path leads. */
const faultOf = async (
  path: string,
  stat: Stats,
  { last, owners }: { readonly last: boolean; readonly owners: readonly number[] },
): Promise<Fault | undefined> => {
  const link = stat.isSymbolicLink();
  if (!owners.includes(stat.uid)) {
    const why = `belongs to ${await nameOf(stat.uid)}`;
    // A folder above is often a home, which stays its owner's.
    const hint =
      last || link ? quoted(['chown', ...(link ? ['-h'] : []), 'root', path]) : 'copy it to a folder of root';
    return { path, why, hint };
  }
  const writers = link ? 0 : stat.mode & 0o022; // the mode of a link means nothing
  // In a sticky folder, such as /tmp, nobody replaces what belongs to another; but everybody may put something new there.
  const sticky = stat.isDirectory() && (stat.mode & 0o1000) !== 0 && !last;
  if (writers === 0 || sticky || (writers === 0o020 && (await isGroupOf(stat.gid, owners)))) return undefined;
  return {
    path,
    why: `has the mode ${(stat.mode & 0o7777).toString(8).padStart(4, '0')}`,
    // A folder such as /tmp is everybody's by design.
    hint: (stat.mode & 0o1000) === 0 ? quoted(['chmod', 'go-w', path]) : 'copy it to a folder of root',
  };
};

/** Lists the folders above a path, from the outermost on. */
const foldersAbove = (path: string): readonly string[] => {
  const names = namesIn(dirname(path));
  return names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`);
};

/**
 * Tells whether every user can come to what a path leads to: the mode of each folder lets them, of those that the path names
 * and of those that its links lead to.
 */
export const isReachable = async (path: string): Promise<boolean> => {
  const folders = new Set([...foldersAbove(resolve(path)), ...foldersAbove(await realpath(path))]);
  const modes = await Promise.all([...folders].map(async (folder) => (await stat(folder)).mode));
  return modes.every((mode) => (mode & 0o001) !== 0);
};

/**
 * Finds what others than `owners` can change of a path: each folder from / on, each link on the way, and the file or
 * folder itself, by its owner and its mode. Returns the first fault; undefined where there is none, also for a path that
 * does not exist yet in folders without fault. `owners` are root and whoever runs this by default.
 */
export const faultIn = async (path: string, owners: readonly number[] = runners()): Promise<Fault | undefined> => {
  let names = namesIn(resolve(path));
  let place = '/';
  for (let links = 0; names.length > 0; ) {
    const [name = '', ...rest] = names;
    names = rest;
    if (name === '..') {
      place = dirname(place);
      continue;
    }
    const next = place === '/' ? `/${name}` : `${place}/${name}`;
    const stat = await statIfThere(next);
    if (!stat) return undefined;
    const fault = await faultOf(next, stat, { last: names.length === 0, owners });
    if (fault) return fault;
    if (!stat.isSymbolicLink()) {
      place = next;
      continue;
    }
    links += 1;
    if (links > mostLinks) return { path: next, why: 'is a link that leads to itself', hint: quoted(['rm', next]) };
    const target = await readlink(next);
    if (target.startsWith('/')) place = '/';
    names = [...namesIn(target), ...names];
  }
  return undefined;
};
