import type { Undoer } from '../../../lib/engine/gate.ts';
import type { HostSnapshot } from '../../../lib/host/snapshot.ts';

/** What the removal of leftovers goes by. */
export interface CleanupScope {
  readonly gate: Undoer;
  /** The steps that are undone; daemons of the others live on. */
  readonly undone: readonly string[];
  /** The machine before the first change; what is in it is never a leftover. Absent where it was lost. */
  readonly before: HostSnapshot | undefined;
  /** Whether containerd's data hold containers or images of somebody else: then they stay. */
  readonly shared: boolean;
}

/** Whether it was on this machine before the first change: then it is nobody's leftover. */
export const wasThere = (before: HostSnapshot | undefined, kind: string, name: string): boolean =>
  before?.sections[kind]?.[name] !== undefined;
