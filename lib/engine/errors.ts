/**
 * The three kinds of errors; only bin/cli.ts catches them. UserError: what was asked, or the machine, is not fit (exit
 * 2). Unhealthy: the lab has a fault (exit 1). Everything else is a bug (exit 70).
 */
export class UserError extends Error {
  override readonly name = 'UserError';
  /** Command to type instead, or next. */
  readonly next: string | undefined;
  constructor(message: string, next?: string) {
    super(message);
    this.next = next;
  }
}

/** A check that did not pass in time, or a component that ended: the message names it and the reason. */
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

/** Tells whether an error, of Node or of a program that was run, says that a disk is full. */
export const isDiskFull = (thrown: unknown): boolean =>
  (thrown as NodeJS.ErrnoException)?.code === 'ENOSPC' || /no space left on device/i.test(reasonOf(thrown));

/** Returns the message of anything that was thrown, without its stack. */
export const reasonOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
