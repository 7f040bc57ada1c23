import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { kindOf, statIfThere } from '../host/files.ts';
import { paths } from '../host/paths.ts';
import { quoted } from '../host/run.ts';
import { askingUser, type Fault, faultIn } from '../host/trust.ts';
import { sentenceOf, UserError } from './errors.ts';

const refusal = (path: string, { path: part, why }: Fault, next: string): UserError =>
  new UserError(`${path} is not used: others than root may change ${part}, which ${why}`, next);

/**
 * Throws UserError where others than these users, by default root and whoever runs this, may change what is at a path. Is
 * called before root reads, runs or links what lies there.
 */
export const requireOwn = async (path: string, owners?: readonly number[]): Promise<void> => {
  const fault = await faultIn(path, owners);
  if (fault) throw refusal(path, fault, `${fault.hint}, when you have looked at ${path}`);
};

/** Throws UserError as requireOwn does, for files that the person behind sudo names: they may be that person's. */
export const requireOwnOrAsked = (path: string): Promise<void> => {
  const asking = askingUser();
  return requireOwn(path, asking === undefined ? undefined : [0, asking]);
};

/**
 * Throws UserError as requireOwn does, for a file or folder of the cache. Others may have changed its programs and the
 * checksums beside them, so what helps is to bring them anew.
 */
export const requireOwnCache = async (path: string, cache: string): Promise<void> => {
  const fault = await faultIn(path);
  if (!fault) return;
  const inside = fault.path === cache || fault.path.startsWith(`${cache}/`);
  const mend = `${quoted(['chown', '-R', 'root:root', cache])} && ${quoted(['chmod', '-R', 'go-w', cache])}`;
  throw refusal(
    path,
    fault,
    inside ? `${quoted(['rm', '-r', fault.path])}; or, if nobody wrote to it: ${mend}` : fault.hint,
  );
};

/**
 * Throws UserError where others may change the code of this checkout. It may belong to root or to the person behind sudo;
 * where root runs it by itself, to anybody: root has chosen it. On a file system that is mounted read-only, as in a VM,
 * nobody changes anything.
 */
const requireOwnCode = async (project: string): Promise<void> => {
  const writable = await access(project, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!writable) return;
  const owner = askingUser() ?? (await stat(project)).uid;
  const parts = ['bin', 'lib', 'steps', 'node_modules'].map((part) => join(project, part));
  for (const part of parts) await requireOwn(part, [0, owner]);
};

/** Throws UserError where the lab's own folder is a link, or others may have put something into it. */
const requireOwnRoot = async (): Promise<void> => {
  const found = await statIfThere(paths.root);
  if (found && !found.isDirectory()) {
    const what = found.isSymbolicLink() ? 'a link' : 'no folder';
    throw new UserError(
      `${paths.root} is ${what}: hardway keeps its keys there, and uses a folder of root's only`,
      `mv ${paths.root} ${paths.root}.aside; for another disk, mount it at ${paths.root}`,
    );
  }
  await requireOwn(paths.root);
};

/**
 * Leaves in PATH only folders in which nobody but root can put a program: sudo may have kept a person's, and root would
 * run what that person calls ipset.
 */
const useOwnPath = async (): Promise<void> => {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute);
  const faults = await Promise.all(folders.map((folder) => faultIn(folder)));
  process.env['PATH'] = folders.filter((_, index) => faults[index] === undefined).join(delimiter);
};

/** Names of what hardway keeps in its cache, and of what a file system has. */
const inCache = /^(bin|build|compiled|dist|downloads|images|manifests|node|vm|lost\+found|probe\.part-.*)$/;

/**
 * Throws UserError where something of others is in a cache that HARDWAY_CACHE names, as in a home or in /: its mode is
 * mended, and reset --purge removes what is in it.
 */
const requireOwnFolder = async (): Promise<void> => {
  if (paths.cache === '/var/cache/hardway') return;
  const [other] = (await readdir(paths.cache)).filter((name) => !inCache.test(name));
  if (other !== undefined)
    throw new UserError(
      `HARDWAY_CACHE is ${paths.cache}, which is no folder of its own: ${other} is in it`,
      `export HARDWAY_CACHE=${join(paths.cache, 'hardway')}`,
    );
};

/** Throws UserError where the path of the cache leads to something else than a folder, or through it. */
const requireCacheFolder = async (): Promise<void> => {
  const next = 'move it away, or name another folder: export HARDWAY_CACHE=/another/folder';
  const found = await stat(paths.cache).catch((error: NodeJS.ErrnoException) => error);
  if (!(found instanceof Error)) {
    if (found.isDirectory()) return requireOwnFolder();
    throw new UserError(`the cache ${paths.cache} is ${kindOf(found)}, where a folder belongs`, next);
  }
  if (found.code !== 'ENOENT') throw new UserError(`the cache cannot be: ${sentenceOf(found)}`, next);
  if (await statIfThere(paths.cache))
    throw new UserError(`the cache ${paths.cache} is a link that leads to nothing`, next);
};

/**
 * Throws UserError where others than root may change what every command of root's reads and runs: the code in `project`,
 * the cache, the lab's own folder. Removes the folders of others from PATH.
 */
export const requireOwnPlaces = async (project: string): Promise<void> => {
  await useOwnPath();
  if (!isAbsolute(paths.cache)) {
    throw new UserError(
      `HARDWAY_CACHE is ${JSON.stringify(paths.cache)}, which another folder makes another place`,
      `HARDWAY_CACHE=${resolve(paths.cache)}`,
    );
  }
  await requireCacheFolder();
  await requireOwnCode(project);
  await requireOwnCache(paths.cache, paths.cache);
  await requireOwnRoot();
};
