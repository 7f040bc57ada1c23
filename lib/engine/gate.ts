import { rm } from 'node:fs/promises';
import { mountsBelow } from '../host/mounts.ts';
import { processesUsing } from '../host/proc.ts';
import { reasonOf } from './errors.ts';

/** What a reset tells while it goes on. */
export type UndoEvent =
  /** Something is taken back; in a dry run it would be. `group` says what kind of thing it is. */
  | { readonly event: 'undo'; readonly group: string; readonly what: string }
  /** Something of somebody else's that stays, and why. */
  | { readonly event: 'kept'; readonly what: string }
  /** Something that could not be taken back; the rest goes on. */
  | { readonly event: 'failed'; readonly what: string; readonly reason: string };

/** The one gate through which a reset changes the machine. */
export interface Undoer {
  readonly dryRun: boolean;
  /** Tells, and performs unless this is a dry run. A failure is remembered and does not stop the rest. */
  apply(group: string, what: string, perform: () => Promise<unknown>): Promise<void>;
  reportKept(what: string): void;
  readonly failures: readonly string[];
}

/** Once `signal` is aborted the next change throws: what is taken back by then stays so, and reset can be run again. */
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

/** Removes a folder with all that is in it. Throws when something is mounted in it, naming who uses that. */
export const removeTree = async (path: string): Promise<void> => {
  const [busy] = mountsBelow(path);
  if (busy) throw new Error(`${busy} is mounted in it${processesUsing(busy)}`);
  await rm(path, { recursive: true, force: true });
};
