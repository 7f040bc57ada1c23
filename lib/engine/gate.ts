import { isBelow } from '../host/remove.ts';
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
  /** Announces several changes that one command performs; it reports what it leaves by `reportLeft`. */
  applyAll(what: readonly string[], perform: () => Promise<unknown>): Promise<void>;
  /** Looks for changes to make. A failure is recorded and does not stop the rest. */
  attempt(what: string, look: () => Promise<unknown>): Promise<void>;
  /** Says that something stays because it belongs to somebody else. No later stage touches `path`, if one is named. */
  reportKept(what: string, path?: string): void;
  /** Says that something of ours is still there, and why: a second reset is needed. */
  reportLeft(what: string, reason: string): void;
  /** Says that something of ours stays for the sake of others: a later reset may remove it. */
  reportRemaining(what: string): void;
  /** Tells whether a path, or the folder that it is in, was reported as kept. */
  isKept(path: string): boolean;
  /** Tells whether something in a folder was reported as kept. */
  holdsKept(folder: string): boolean;
}

/** Runs the stages of a reset; every change passes it. */
export interface Gate {
  /** Changes that could not be undone so far. */
  readonly failures: readonly string[];
  /** Things of ours that stay for the sake of others. */
  readonly remaining: readonly string[];
  /** Runs a stage. An error that leaves it is a failure of that stage; the next one can run all the same. */
  runStage(name: string, run: (undoer: Undoer) => Promise<void>): Promise<void>;
}

/**
 * Opens the gate of one reset. Once `signal` is aborted the next change throws its reason; what was undone by then
 * stays so, and reset can be run again.
 */
export const openGate = (dryRun: boolean, tell: (event: UndoEvent) => void, signal?: AbortSignal): Gate => {
  const failures: string[] = [];
  const remaining: string[] = [];
  const kept = new Set<string>();
  const fail = (what: string, reason: string): void => {
    failures.push(what);
    tell({ event: 'failed', what, reason });
  };
  const attempt = async (what: string, perform: () => Promise<unknown>): Promise<void> => {
    try {
      await perform();
    } catch (error) {
      signal?.throwIfAborted();
      fail(what, sentenceOf(error));
    }
  };
  const undoerOf = (group: string): Undoer => {
    const applyAll: Undoer['applyAll'] = async (whats, perform) => {
      signal?.throwIfAborted();
      for (const what of whats) tell({ event: 'undo', group, what });
      if (!dryRun && whats.length > 0) await attempt(whats.join(', '), perform);
    };
    return {
      dryRun,
      attempt,
      reportKept(what, path) {
        if (path !== undefined) kept.add(path);
        tell({ event: 'kept', what });
      },
      reportLeft: fail,
      reportRemaining: (what) => void remaining.push(what),
      isKept: (path) => [...kept].some((one) => isBelow(path, one)),
      holdsKept: (folder) => [...kept].some((one) => isBelow(one, folder)),
      apply: (what, perform) => applyAll([what], perform),
      applyAll,
    };
  };
  return { failures, remaining, runStage: (name, run) => attempt(name, () => run(undoerOf(name))) };
};
