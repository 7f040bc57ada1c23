import type { Access } from './files.ts';
import { quoted } from './run.ts';

/** One change to the machine, as data. */
export type Deed =
  | { readonly kind: 'write'; readonly path: string }
  | { readonly kind: 'make-dir'; readonly path: string }
  /** A symbolic link. */
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  /** A hard or symbolic link to a file of the cache. */
  | { readonly kind: 'place'; readonly path: string }
  /** Announces a file that a daemon or a command writes when it runs. */
  | { readonly kind: 'expect'; readonly path: string; readonly why: string }
  | { readonly kind: 'run'; readonly argv: readonly string[] };

/**
 * What tells a placed program from another one at its path without reading it: its bytes, the time of its last change in
 * milliseconds of the Unix epoch, and where a symbolic link leads. Not its inode: cp(1) writes into the file that is
 * there, and a device may have another number after a reboot.
 */
export interface Placed {
  readonly size: number;
  readonly mtimeMs: number;
  readonly target: string;
}

/** Undo of one change, as data. */
export type Undo =
  /**
   * Removes a file or link that did not exist before. `sha256` is what we wrote, `placed` what we placed; a file changed
   * since is kept beside.
   */
  | { readonly kind: 'remove'; readonly path: string; readonly sha256?: string; readonly placed?: Placed }
  /** Removes a folder that did not exist before. */
  | { readonly kind: 'remove-tree'; readonly path: string }
  /** Puts back a file that existed before; `from` is its copy. */
  | {
      readonly kind: 'restore';
      readonly path: string;
      readonly from: string;
      readonly sha256?: string;
      readonly placed?: Placed;
    }
  /** Gives a file or folder that was there its former mode or owner. Follows no link, which chmod(1) does. */
  | ({ readonly kind: 'access'; readonly path: string } & Access)
  | { readonly kind: 'run'; readonly argv: readonly string[] }
  /** Purges packages that came with a change, unless others need them by now. */
  | { readonly kind: 'packages'; readonly names: readonly string[] }
  /** Stops and disables a component, or the server that it runs under: reset stops all of them at once. */
  | { readonly kind: 'unit'; readonly name: string; readonly supervisor: 'systemd' | 'tmux' }
  /** Removes an account and its group. */
  | { readonly kind: 'user'; readonly name: string }
  /**
   * Unloads a kernel module that was not loaded before: reset unloads all of them at the end, when nothing uses them.
   */
  | { readonly kind: 'module'; readonly name: string };

/** One change to the machine and its undo. Both are data, so that they can be recorded before the change happens. */
export interface Change {
  readonly do: Deed;
  readonly undo: Undo;
}

/** Returns the path at which a change put something; undefined for a command, and for a mode or an owner. */
export const madePath = (undo: Undo): string | undefined =>
  'path' in undo && undo.kind !== 'access' ? undo.path : undefined;

/** Returns the command that gives a path this owner or else this mode. */
export const accessCommand = (path: string, { mode, owner }: Access): readonly string[] =>
  owner ? ['chown', `${owner.uid}:${owner.gid}`, path] : ['chmod', ((mode ?? 0) & 0o7777).toString(8), path];

/** Formats a change for a person. */
export const formatDeed = (deed: Deed): string => {
  switch (deed.kind) {
    case 'write':
      return `write ${deed.path}`;
    case 'make-dir':
      return `make folder ${deed.path}`;
    case 'link':
      return `link ${deed.path} to ${deed.target}`;
    case 'place':
      return `place ${deed.path}`;
    case 'expect':
      return `${deed.why} ${deed.path}`;
    case 'run':
      return quoted(deed.argv);
  }
};

/** Formats an undo for a person. */
export const formatUndo = (undo: Undo): string => {
  switch (undo.kind) {
    case 'remove':
      return `remove ${undo.path}`;
    case 'remove-tree':
      return `remove folder ${undo.path}`;
    case 'restore':
      return `put back ${undo.path}`;
    case 'access':
      return quoted(accessCommand(undo.path, undo));
    case 'run':
      return quoted(undo.argv);
    case 'packages':
      return `apt-get purge ${undo.names.join(' ')}`;
    case 'unit':
      return `stop ${undo.name}`;
    case 'user':
      return `userdel ${undo.name}`;
    case 'module':
      return `unload ${undo.name}`;
  }
};
