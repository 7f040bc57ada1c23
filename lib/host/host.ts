import { constants, type Stats } from 'node:fs';
import { chmod, copyFile, cp, lchown, link, mkdir, readlink, stat, symlink, utimes } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { accessCommand, type Change, type Deed, formatDeed, type Placed, type Undo } from './change.ts';
import {
  type Access,
  freeName,
  kindOf,
  makeFolder,
  type Owner,
  readIfThere,
  setAccess,
  sha256,
  sha256OfFile,
  statIfThere,
  swapIn,
  writeAtomically,
} from './files.ts';
import { paths } from './paths.ts';
import { placedFrom } from './placed.ts';
import { quoted, runShown } from './run.ts';
import { readSysctl, writeSysctl } from './sysctl.ts';
import { faultIn, isReachable } from './trust.ts';

/**
 * The only way in which hardway changes a machine. Every change is passed to `record` with its undo before it happens;
 * in a dry run it is only announced. Each method does nothing where nothing is to do, and returns whether it changed
 * anything.
 */
export interface Host {
  readonly dryRun: boolean;
  /**
   * Records a file that a daemon or a command will write at `path` when it runs; what is there now is put back by a reset.
   * `why` begins the sentence about it, such as "log to".
   */
  expect(path: string, why: string): Promise<void>;
  makeDir(path: string, mode?: number, owner?: Owner): Promise<boolean>;
  writeFile(path: string, content: string, mode?: number, owner?: Owner): Promise<boolean>;
  symlink(path: string, target: string): Promise<boolean>;
  /**
   * Puts `from` at `path`: a hard link on the same file system, else a symbolic link, so that no bytes are copied. A file
   * that others may change, such as one of a person's own folder, is copied: root will run it. So is one that a link
   * would not lead every account to: components run under their own.
   */
  linkFile(path: string, from: string): Promise<boolean>;
  /** Runs a command that changes the machine; learners are shown it word for word. */
  sh(argv: readonly string[], undo?: Undo): Promise<void>;
  /** Sets a kernel parameter; its undo sets the former value. */
  sysctl(key: string, value: string): Promise<boolean>;
}

/** Callbacks for every change. */
export interface ChangeListener {
  /** Called with each change before it happens; the record must be on the disk when it returns. */
  readonly record: (change: Change) => void;
  /** Called with each change, dry run or not. */
  readonly tell: (what: string) => void;
}

export interface HostOptions {
  readonly dryRun: boolean;
  /** Paths that earlier changes made: their content is overwritten without a copy. */
  readonly owned: ReadonlySet<string>;
}

/**
 * Creates one Host per step; `signal` ends the commands that it runs. All share the set of paths that hardway already
 * owns.
 */
export const createHosts = ({
  dryRun,
  owned,
}: HostOptions): ((listener: ChangeListener, signal?: AbortSignal) => Host) => {
  const state: HostState = { dryRun, ours: new Set(owned), planned: new Set() };
  return (listener, signal) => hostOf(state, listener, signal);
};

interface HostState {
  readonly dryRun: boolean;
  /** Paths that are ours to overwrite. */
  readonly ours: Set<string>;
  /** Folders that a dry run has announced; they do not exist, so they would be announced again. */
  readonly planned: Set<string>;
}

/** Owner of what is not for a person. */
const runner: Owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

/** What we put at a path, so that reset tells it from what somebody else puts there. */
interface Mark {
  readonly sha256?: string;
  readonly placed?: Placed;
}

/** Makes the changes of one step: each is announced and recorded before it is performed. */
const changesOf = ({ dryRun, ours, planned }: HostState, { record, tell }: ChangeListener, signal?: AbortSignal) => {
  const change = async (made: Change, perform: () => Promise<void>): Promise<void> => {
    signal?.throwIfAborted(); // what outlives its run changes nothing more
    tell(formatDeed(made.do));
    if (dryRun) return;
    record(made);
    await perform();
  };

  /** Backs up an existing file that is not ours and returns how to undo the write. */
  const backUpAndUndo = async (path: string, mark: Mark): Promise<Undo> => {
    const there = await statIfThere(path);
    if (ours.has(path) || !there) return { kind: 'remove', path, ...mark };
    if (!there.isFile() && !there.isSymbolicLink())
      throw new Error(`${path} is ${kindOf(there)}, where a file belongs`);
    const from = await freeName(`${paths.before}/${sha256(path).slice(0, 8)}-${basename(path)}`);
    if (!dryRun) {
      await mkdir(paths.before, { recursive: true, mode: 0o700 });
      await cp(path, from, { verbatimSymlinks: true }); // keeps a link as a link
      await lchown(from, there.uid, there.gid); // the copy would belong to root, and so would the restored file
      if (!there.isSymbolicLink()) await chmod(from, there.mode & 0o7777); // chown removes the setuid bit
    }
    return { kind: 'restore', path, from, ...mark };
  };

  /** Gives a file or folder of ours the mode and the owner that it is to have. */
  const mend = async (path: string, there: Stats, mode: number, owner: Owner = runner): Promise<boolean> => {
    const set = (wanted: Access, former: Access): Promise<void> =>
      change(
        { do: { kind: 'run', argv: accessCommand(path, wanted) }, undo: { kind: 'access', path, ...former } },
        () => setAccess(path, wanted),
      );
    const former = there.mode & 0o7777;
    const isOwners = there.uid === owner.uid;
    if (!isOwners) await set({ mode: former, owner }, { mode: former, owner: { uid: there.uid, gid: there.gid } });
    if ((there.mode & 0o777) === mode) return !isOwners;
    await set({ mode }, { mode: former });
    return true;
  };

  const makeMissing = async (path: string, mode = 0o755, owner?: Owner): Promise<boolean> => {
    if (planned.has(path)) return false;
    if (await statIfThere(path)) {
      const there = await stat(path); // a link to a folder is one
      if (!there.isDirectory()) throw new Error(`${path} is ${kindOf(there)}, where a folder belongs`);
      return false;
    }
    await makeMissing(dirname(path));
    if (dryRun) planned.add(path);
    await change({ do: { kind: 'make-dir', path }, undo: { kind: 'remove-tree', path } }, () =>
      makeFolder(path, { mode, owner }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error; // recording this change may have made the root folder
      }),
    );
    return true;
  };

  /** A folder that is there keeps its mode, unless it is the lab's own or in it. */
  const makeDir = async (path: string, mode = 0o755, owner?: Owner): Promise<boolean> => {
    const there = await statIfThere(path);
    if (there?.isDirectory() && (path === paths.root || path.startsWith(`${paths.root}/`)))
      return mend(path, there, mode, owner);
    return makeMissing(path, mode, owner);
  };

  const put = async (
    deed: Extract<Deed, { path: string }>,
    perform: () => Promise<void>,
    mark: Mark = {},
  ): Promise<true> => {
    await makeMissing(dirname(deed.path));
    await change({ do: deed, undo: await backUpAndUndo(deed.path, mark) }, perform);
    ours.add(deed.path);
    return true;
  };

  return { backUpAndUndo, change, makeDir, mend, put };
};

/**
 * Tells whether a program is copied to its place: others may change it, or it is on another file system in a folder that
 * only root enters, where a symbolic link would lead no other account.
 */
const isCopied = async (path: string, from: string, source: Stats | undefined): Promise<boolean> => {
  if (await faultIn(from)) return true;
  const folder = await statIfThere(dirname(path));
  return source !== undefined && folder !== undefined && folder.dev !== source.dev && !(await isReachable(from));
};

/** Makes the methods of Host that put a file or a link in its place. */
const filesOf = ({ mend, put }: ReturnType<typeof changesOf>): Pick<Host, 'writeFile' | 'symlink' | 'linkFile'> => ({
  async writeFile(path, content, mode = 0o644, owner = undefined) {
    const stat = await statIfThere(path);
    if (stat?.isFile() && (await readIfThere(path)) === content) {
      return mend(path, stat, mode, owner);
    }
    return put({ kind: 'write', path }, () => writeAtomically(path, content, { mode, ...(owner && { owner }) }), {
      sha256: sha256(content),
    });
  },

  async symlink(path, target) {
    const stat = await statIfThere(path);
    if (stat?.isSymbolicLink() && (await readlink(path)) === target) return false;
    return put({ kind: 'link', path, target }, () => swapIn(path, (temporary) => symlink(target, temporary)));
  },

  async linkFile(path, from) {
    const [there, source] = await Promise.all([statIfThere(path), statIfThere(from)]);
    if (await isCopied(path, from, source)) {
      if (there?.isFile() && there.ino !== source?.ino && (await sha256OfFile(path)) === (await sha256OfFile(from)))
        return false;
      const placed = placedFrom(from, await stat(from));
      return put(
        { kind: 'place', path },
        () =>
          swapIn(path, async (temporary) => {
            await copyFile(from, temporary, constants.COPYFILE_EXCL);
            await setAccess(temporary, { mode: 0o755, owner: runner }); // the copy would belong to the owner of the file
            await utimes(temporary, new Date(), new Date(placed.mtimeMs));
          }),
        { placed },
      );
    }
    if (there && source && there.ino === source.ino && there.dev === source.dev) return false;
    if (there?.isSymbolicLink() && (await readlink(path)) === from) return false;
    return put(
      { kind: 'place', path },
      () => swapIn(path, (temporary) => link(from, temporary).catch(() => symlink(from, temporary))),
      source && { placed: placedFrom(from, source) },
    );
  },
});

const hostOf = (state: HostState, listener: ChangeListener, signal?: AbortSignal): Host => {
  const changes = changesOf(state, listener, signal);
  const { backUpAndUndo, change, makeDir } = changes;
  return {
    dryRun: state.dryRun,
    makeDir,

    async expect(path, why) {
      const isFile = (await statIfThere(path))?.isFile() ?? false;
      const undo: Undo = isFile ? await backUpAndUndo(path, {}) : { kind: 'remove', path };
      await change({ do: { kind: 'expect', path, why }, undo }, async () => {});
      state.ours.add(path);
    },

    ...filesOf(changes),

    async sh(argv, undo) {
      const perform = () => runShown(argv, { signal });
      if (undo) return change({ do: { kind: 'run', argv }, undo }, perform);
      listener.tell(quoted(argv));
      if (!state.dryRun) await perform();
    },

    async sysctl(key, value) {
      const now = readSysctl(key);
      if (now === value) return false;
      const deed: Deed = { kind: 'run', argv: ['sysctl', '-w', `${key}=${value}`] };
      const undo: Undo = { kind: 'run', argv: ['sysctl', '-qw', `${key}=${now ?? ''}`] };
      await change({ do: deed, undo }, async () => writeSysctl(key, value));
      return true;
    },
  };
};
