import type { Probe } from '../lib/engine/check.ts';
import type { Context } from '../lib/engine/step.ts';
import type { Text } from '../lib/engine/text.ts';

/** A check of an exercise: a phrase for the learner, and a probe that throws why it is not so. */
export interface ExerciseCheck {
  readonly phrase: Text;
  readonly probe: Probe<Context>;
}

/** A fault to repair, as a value: everything particular to it. */
export interface Exercise {
  readonly id: string;
  readonly title: Text;
  readonly topics: readonly string[];
  /** 1: one look finds it. 3: what is seen is far from its cause. */
  readonly level: 1 | 2 | 3;
  /** Minutes that somebody takes who knows the topic. */
  readonly minutes: number;
  /** Network that the lab must have, where only one can break in this way. */
  readonly cni?: 'bridge';
  /** Makes the fault. Every change goes through `host`, which records its undo. */
  readonly prepare: (context: Context) => Promise<void>;
  /** What a colleague writes: the symptom, never the cause. */
  readonly ticket: Text;
  /** Returns where to look, what to read, and the line; what was repaired already is left out. */
  readonly hints: (context: Context) => Promise<readonly Text[]>;
  /** What is true when it is repaired. Looked at with new objects, so that every right way counts. */
  readonly solved: readonly ExerciseCheck[];
  /** Files that the repair may change; every other one of the lab must stay as it is. */
  readonly free: readonly string[];
  /** Components that are started again when the fault is taken back. */
  readonly restarts: readonly string[];
  /** Commands of one way to repair it. */
  readonly solution: readonly string[];
  /** What was wrong, how one finds it, and where it happens. */
  readonly explanation: Text;
}
