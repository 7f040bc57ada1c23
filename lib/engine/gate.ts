import { rm } from 'node:fs/promises';
import { mountsBelow } from '../host/mounts.ts';
import { processesUsing } from '../host/proc.ts';
import { reasonOf } from './errors.ts';

/** Events of a reset. */
export type UndoEvent =
  /** Something is undone; in a dry run it would be. `group` is the kind of thing. */
  | { readonly event: 'undo'; readonly group: string; readonly what: string }
  /** Something stays because it belongs to somebody else, with the reason. */
  | { readonly event: 'kept'; readonly what: string }
  /** Something could not be undone; the rest goes on. */
  | { readonly event: 'failed'; readonly what: string; readonly reason: string };

/** Undoes changes for a reset: announces each one, performs it unless this is a dry run, and collects failures. */
export interface Undoer {
  readonly dryRun: boolean;
  /** Announces a change, and performs it unless this is a dry run. A failure is recorded and does not stop the rest. */
  apply(group: string, what: string, perform: () => Promise<unknown>): Promise<void>;
  reportKept(what: string): void;
  readonly failures: readonly string[];
}

/**
 * Makes an Undoer. Once `signal` is aborted the next change throws; what was undone by then stays so, and reset can be
 * run again.
 */
export const createUndoer = (dryRun: boolean, tell: (event: UndoEvent) => void, signal?: AbortSignal): Undoer => {
  const failures: string[] = [];
  return {
    dryRun,
    failures,
    reportKept: (what) => tell({ event: 'kept', what }),
    async apply(group, what, perform) {
      signal?.throwIfAborted();
      tell({ event: 'undo', group, what });
      if (dryRun) return;
      try {
        await perform();
      } catch (error) {
        failures.push(what);
        tell({ event: 'failed', what, reason: reasonOf(error) });
      }
    },
  };
};

/**
 * Removes a file or a folder with its content. Throws when something is mounted in it; the message names the processes
 * that use the mount.
 */
export const removeTree = async (path: string): Promise<void> => {
  const [busy] = mountsBelow(path);
  if (busy) throw new Error(`${busy} is mounted in it${processesUsing(busy)}`);
  await rm(path, { recursive: true, force: true });
};
