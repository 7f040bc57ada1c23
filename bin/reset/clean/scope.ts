import type { Undoer } from '../../../lib/engine/gate.ts';
import type { Difference, HostSnapshot } from '../../../lib/host/snapshot.ts';
import type { ResetPlan } from '../plan.ts';

/** Input of every stage of a reset. */
export interface Reset {
  readonly undoer: Undoer;
  /** Changes that could not be undone so far. If there is one, the lab's own files stay for a second reset. */
  readonly failures: readonly string[];
  /** Things of ours that stay for the sake of others. If there is one, the lab's own files stay too. */
  readonly remaining: readonly string[];
  readonly plan: ResetPlan;
  /**
   * Snapshot of the machine before the first change. What it contains is never a leftover. Undefined where it was lost.
   */
  readonly before: HostSnapshot | undefined;
  readonly signal: AbortSignal;
  readonly reportDifference: (difference: Difference) => void;
}

/** Tells whether a thing was on this machine before the first change: then it is no leftover. */
export const wasThere = (before: HostSnapshot | undefined, kind: string, name: string): boolean =>
  before?.sections[kind]?.[name] !== undefined;

/**
 * Tells whether a link or a mount is the one that had this name before the first change: by its number, which holds for
 * one boot; by its name alone after a reboot, or where the snapshot has no numbers.
 */
export const isTheOne = (
  before: HostSnapshot | undefined,
  boot: string,
  kind: 'link' | 'mount',
  [name, number]: readonly [string, number],
): boolean => {
  if (!wasThere(before, kind, name)) return false;
  const then = before?.identities;
  return then?.boot !== boot || (then[kind][name] ?? []).includes(number);
};
