import { readdir } from 'node:fs/promises';
import { UserError } from '../engine/errors.ts';
import { type Account, accounts, groups, isPersons } from '../host/accounts.ts';
import { requireAccess, statIfThere } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { run } from '../host/run.ts';

/** Marks an account as ours, in the field of /etc/passwd that useradd(8) calls its comment. */
const comment = 'made by hardway';

/** Files that useradd(8) and userdel(8) leave behind: the accounts as they were before their last change. */
const backups = ['passwd', 'group', 'shadow', 'gshadow'].map((name) => `/etc/${name}-`);

const accountOf = async (name: string): Promise<Account | undefined> =>
  (await accounts()).find((account) => account.name === name);

const hasGroup = async (name: string): Promise<boolean> => (await groups()).some((group) => group.name === name);

/** Lists the accounts of this machine that hardway made. */
export const ownUsers = async (): Promise<readonly string[]> =>
  (await accounts()).filter((account) => account.comment === comment).map(({ name }) => name);

/** Says why a program cannot run under an account that is there. */
export const personsAccount = (name: string): string =>
  `${name} is to run under an account of its own, and the account ${name} here is root's or a person's`;

/** Returns what to do about it. */
export const renameAccount = (name: string): string => `give that person another name: usermod --login NAME ${name}`;

/**
 * Makes an account under which a program runs: no password, no shell, no home. Takes one that is there if it is none of a
 * person's; throws UserError where it is.
 */
export const ensureUser = async (host: Host, name: string): Promise<void> => {
  const there = await accountOf(name);
  if (there && isPersons(there)) throw new UserError(personsAccount(name), renameAccount(name));
  if (there) return;
  for (const path of backups) await host.expect(path, 'accounts before the change, to');
  const group = (await hasGroup(name)) ? ['--gid', name] : ['--user-group'];
  const nobodys = ['--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin'];
  await host.sh(['useradd', '--system', ...group, ...nobodys, '--comment', comment, name], { kind: 'user', name });
};

/** Tells whether an account and its group are gone. */
export const isUserGone = async (name: string): Promise<boolean> =>
  (await accountOf(name)) === undefined && !(await hasGroup(name));

/** Removes an account and its group. Throws CommandFailed where a process still runs under it. */
export const removeUser = async (name: string): Promise<void> => {
  if (await accountOf(name)) await run('userdel', [name]);
  if (await hasGroup(name)) await run('groupdel', [name]); // where login.defs(5) says USERGROUPS_ENAB no
};

/** Tells whether a folder and all that is in it belong to a user. A file that goes meanwhile, as a log of etcd does, counts no more. */
const isAllOf = async (folder: string, uid: number): Promise<boolean> => {
  const names = await readdir(folder, { recursive: true });
  const stats = await Promise.all([folder, ...names.map((name) => `${folder}/${name}`)].map(statIfThere));
  return stats.every((stat) => stat === undefined || stat.uid === uid);
};

/**
 * Makes a folder that only a user may enter, and gives it to that user with all that is in it: root may have put files
 * there, as by a restore from a backup.
 */
export const ensureFolderOf = async (host: Host, folder: string, name: string): Promise<void> => {
  const there = await statIfThere(folder);
  await host.makeDir(folder, 0o700, there && { uid: there.uid, gid: there.gid });
  const uid = (await accountOf(name))?.uid;
  if (there && uid !== undefined && (await isAllOf(folder, uid))) return;
  await host.sh(['chown', '-R', '-h', `${name}:${name}`, folder], { kind: 'remove-tree', path: folder });
};

/** Throws unless a folder and all that is in it belong to a user, and nobody else may enter it. */
export const requireFolderOf = async (folder: string, name: string): Promise<void> => {
  const account = await accountOf(name);
  if (!account) throw new Error(`there is no user ${name}`);
  if (!(await isAllOf(folder, account.uid)))
    throw new Error(`${folder}, or a file in it, does not belong to the user ${name}`);
  await requireAccess(folder, 0o700, account);
};
