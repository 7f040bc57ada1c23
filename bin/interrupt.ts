/** Thrown after Ctrl-C or a SIGTERM: the command did not finish. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  /** Command that continues from here. */
  readonly next: string;
  constructor(next: string, message = 'interrupted; what is done stays done') {
    super(message);
    this.next = next;
  }
}

/**
 * Runs `work` with a signal that Ctrl-C and SIGTERM abort; a second Ctrl-C ends the program at once. Throws
 * Interrupted, naming `next`, whatever error the interruption caused in `work`; one that `work` threw itself passes.
 */
export const interruptible = async <T>(next: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.on('SIGHUP', stop);
  try {
    return await work(controller.signal);
  } catch (error) {
    throw controller.signal.aborted && !(error instanceof Interrupted) ? new Interrupted(next) : error;
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    process.off('SIGHUP', stop);
  }
};
