import { rm, unlink } from 'node:fs/promises';
import { mountsBelow } from '../host/mounts.ts';
import { processesUsing } from '../host/proc.ts';
import { sentenceOf } from './errors.ts';

/** Events of a reset. */
export type UndoEvent =
  /** Something is undone; in a dry run it would be. `group` is the name of the stage. */
  | { readonly event: 'undo'; readonly group: string; readonly what: string }
  /** Something stays because it belongs to somebody else, with the reason. */
  | { readonly event: 'kept'; readonly what: string }
  /** Something could not be undone; the rest goes on. */
  | { readonly event: 'failed'; readonly what: string; readonly reason: string };

/** Changes the machine for one stage of a reset. */
export interface Undoer {
  readonly dryRun: boolean;
  /** Announces a change, and performs it unless this is a dry run. A failure is recorded and does not stop the rest. */
  apply(what: string, perform: () => Promise<unknown>): Promise<void>;
  reportKept(what: string): void;
}

/** Runs the stages of a reset; every change passes it. */
export interface Gate {
  /** Changes that could not be undone so far. */
  readonly failures: readonly string[];
  /** Runs a stage. An error that leaves it is a failure of that stage; the next one can run all the same. */
  runStage(name: string, run: (undoer: Undoer) => Promise<void>): Promise<void>;
}

/**
 * Opens the gate of one reset. Once `signal` is aborted the next change throws its reason; what was undone by then
 * stays so, and reset can be run again.
 */
export const openGate = (dryRun: boolean, tell: (event: UndoEvent) => void, signal?: AbortSignal): Gate => {
  const failures: string[] = [];
  const attempt = async (what: string, perform: () => Promise<unknown>): Promise<void> => {
    try {
      await perform();
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(what);
      tell({ event: 'failed', what, reason: sentenceOf(error) });
    }
  };
  const undoerOf = (group: string): Undoer => ({
    dryRun,
    reportKept: (what) => tell({ event: 'kept', what }),
    async apply(what, perform) {
      signal?.throwIfAborted();
      tell({ event: 'undo', group, what });
      if (!dryRun) await attempt(what, perform);
    },
  });
  return { failures, runStage: (name, run) => attempt(name, () => run(undoerOf(name))) };
};

/**
 * Removes a file or a folder with its content. Throws when something is mounted in it; the message names the processes
 * that use the mount.
 */
export const removeTree = async (path: string): Promise<void> => {
  const [busy] = mountsBelow(path);
  if (busy) throw new Error(`${busy} is mounted in it${processesUsing(busy)}`);
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    // Node takes a file that it may not remove for a folder, and says that it is none.
    const { code, path: file } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR' && file !== undefined) await unlink(file);
    throw error;
  }
};
