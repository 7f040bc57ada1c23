import { chmod, chown, cp, link, mkdir, readlink, symlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { readIfThere, sha256, statIfThere, swapIn, writeAtomically } from './files.ts';
import { paths } from './paths.ts';
import { quoted, runShown } from './run.ts';
import { readSysctl, writeSysctl } from './sysctl.ts';

/** How one change to the machine is undone. It is data, so that it can be recorded before the change happens. */
export type Undo =
  /**
   * Removes a file or link that did not exist before. `sha256` is what we wrote; a file changed since is kept beside.
   */
  | { readonly kind: 'remove'; readonly path: string; readonly sha256?: string }
  /** Removes a folder that did not exist before, with its content. */
  | { readonly kind: 'remove-tree'; readonly path: string }
  /** Puts back a file that existed before; `from` is its copy. */
  | { readonly kind: 'restore'; readonly path: string; readonly from: string; readonly sha256?: string }
  | { readonly kind: 'run'; readonly argv: readonly string[] };

/** One change to the machine, with its description and its undo. */
export interface Change {
  readonly what: string;
  readonly undo: Undo;
}

/**
 * The only way in which hardway changes a machine. Every change is passed to `record` with its undo before it happens;
 * in a dry run it is only announced. Each method does nothing where nothing is to do, and returns whether it changed
 * anything.
 */
export interface Host {
  readonly dryRun: boolean;
  /** Makes any other change: runs `perform` after the undo was recorded. */
  change(change: Change, perform: () => Promise<void>): Promise<void>;
  makeDir(path: string, mode?: number, owner?: Owner): Promise<boolean>;
  writeFile(path: string, content: string, mode?: number, owner?: Owner): Promise<boolean>;
  symlink(path: string, target: string): Promise<boolean>;
  /** Puts `from` at `path`: a hard link on the same file system, else a symbolic link, so that no bytes are copied. */
  linkFile(path: string, from: string): Promise<boolean>;
  /** Runs a command that changes the machine; learners are shown it word for word. */
  sh(argv: readonly string[], undo?: readonly string[]): Promise<void>;
  /** Sets a kernel parameter; its undo sets the former value. */
  sysctl(key: string, value: string): Promise<boolean>;
}

/** Owner of a new file or folder; root by default. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Callbacks that are told of every change. */
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

const hostOf = ({ dryRun, ours, planned }: HostState, { record, tell }: ChangeListener, signal?: AbortSignal): Host => {
  const change = async ({ what, undo }: Change, perform: () => Promise<void>): Promise<void> => {
    tell(what);
    if (dryRun) return;
    record({ what, undo });
    await perform();
  };

  /** Backs up an existing file that is not ours and returns how to undo the write. */
  const backUpAndUndo = async (path: string, checksum?: string): Promise<Undo> => {
    const mark = checksum ? { sha256: checksum } : {};
    if (ours.has(path) || !(await statIfThere(path))) return { kind: 'remove', path, ...mark };
    const from = `${paths.before}/${sha256(path).slice(0, 8)}-${basename(path)}`;
    if (!dryRun) {
      await mkdir(paths.before, { recursive: true, mode: 0o700 });
      await cp(path, from, { verbatimSymlinks: true }); // keeps a link as a link
    }
    return { kind: 'restore', path, from, ...mark };
  };

  const makeDir = async (path: string, mode = 0o755, owner?: Owner): Promise<boolean> => {
    if (planned.has(path) || (await statIfThere(path))) return false;
    await makeDir(dirname(path));
    if (dryRun) planned.add(path);
    await change({ what: `make folder ${path}`, undo: { kind: 'remove-tree', path } }, async () => {
      await mkdir(path, { mode, recursive: true }); // recording this change may have made the root folder
      await chmod(path, mode); // the umask may have removed bits
      if (owner) await chown(path, owner.uid, owner.gid);
    });
    return true;
  };

  const put = async (path: string, what: string, perform: () => Promise<void>, checksum?: string): Promise<true> => {
    await makeDir(dirname(path));
    await change({ what, undo: await backUpAndUndo(path, checksum) }, perform);
    ours.add(path);
    return true;
  };

  return {
    dryRun,
    change,
    makeDir,

    async writeFile(path, content, mode = 0o644, owner = undefined) {
      const stat = await statIfThere(path);
      if (stat?.isFile() && (await readIfThere(path)) === content) {
        if ((stat.mode & 0o777) === mode) return false;
        await change(
          {
            what: `chmod ${mode.toString(8)} ${path}`,
            undo: { kind: 'run', argv: ['chmod', (stat.mode & 0o777).toString(8), path] },
          },
          () => chmod(path, mode),
        );
        return true;
      }
      return put(
        path,
        `write ${path}`,
        () => writeAtomically(path, content, { mode, ...(owner && { owner }) }),
        sha256(content),
      );
    },

    async symlink(path, target) {
      const stat = await statIfThere(path);
      if (stat?.isSymbolicLink() && (await readlink(path)) === target) return false;
      return put(path, `link ${path} to ${target}`, () => swapIn(path, (temporary) => symlink(target, temporary)));
    },

    async linkFile(path, from) {
      const [there, source] = await Promise.all([statIfThere(path), statIfThere(from)]);
      if (there && source && there.ino === source.ino && there.dev === source.dev) return false;
      if (there?.isSymbolicLink() && (await readlink(path)) === from) return false;
      return put(path, `place ${path}`, () =>
        swapIn(path, (temporary) => link(from, temporary).catch(() => symlink(from, temporary))),
      );
    },

    async sh(argv, undo) {
      const perform = () => runShown(argv, { signal });
      if (undo) return change({ what: quoted(argv), undo: { kind: 'run', argv: undo } }, perform);
      tell(quoted(argv));
      if (!dryRun) await perform();
    },

    async sysctl(key, value) {
      const now = readSysctl(key);
      if (now === value) return false;
      const undo: Undo = { kind: 'run', argv: ['sysctl', '-qw', `${key}=${now ?? ''}`] };
      await change({ what: `sysctl -w ${key}=${value}`, undo }, async () => writeSysctl(key, value));
      return true;
    },
  };
};
