/**
 * The three ways a command can end badly. bin/cli.ts is the only place that catches them.
 * A UserError is about what was asked or the machine it was asked on (exit 2),
 * an Unhealthy is about the lab (exit 1); everything else is a bug of ours (exit 70).
 */
export class UserError extends Error {
  override readonly name = 'UserError';
  /** What to type instead, or next. */
  readonly next: string | undefined;
  constructor(message: string, next?: string) {
    super(message);
    this.next = next;
  }
}

/** A check that never passed, or a component that died: which, why, its last words, what to type next. */
export class Unhealthy extends Error {
  override readonly name = 'Unhealthy';
  /** The last log lines of the component, oldest first. */
  readonly log: readonly string[];
  readonly next: string | undefined;
  constructor(message: string, details: { log?: readonly string[]; next?: string } = {}) {
    super(message);
    this.log = details.log ?? [];
    this.next = details.next;
  }
}

/** Whether an error, ours or of a program that we ran, says that a disk is full. */
export const isDiskFull = (thrown: unknown): boolean =>
  (thrown as NodeJS.ErrnoException)?.code === 'ENOSPC' || /no space left on device/i.test(reasonOf(thrown));

/** The message of anything that was thrown, without its stack. */
export const reasonOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
