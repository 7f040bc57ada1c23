import { once } from 'node:events';
import { emitKeypressEvents, type Key } from 'node:readline';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds in which the terminal hands over what was typed while something was running. */
const drainMs = 30;

/**
 * Asks for a line. The terminal itself edits it and nothing is redrawn, so it works in tmux, over a slow line and with
 * a screen reader. Undefined at the end of the input (Ctrl-D). Throws when `signal` is aborted.
 */
export const ask = async (prompt: string, signal: AbortSignal): Promise<string | undefined> => {
  const lines = createInterface({ input: process.stdin, output: process.stdout, terminal: false });
  try {
    const closed = once(lines, 'close').then(() => undefined);
    return await Promise.race([lines.question(prompt, { signal }), closed]);
  } finally {
    lines.close();
  }
};

/** Returns the name of a key that was pressed: the character itself, or space, enter, pageup, pagedown, up, down. */
const nameOf = (text: string | undefined, key: Key): string => {
  if (key.name === 'return' || key.name === 'enter') return 'enter';
  if (text !== undefined && text > ' ' && !key.ctrl && !key.meta) return text;
  return key.name ?? '';
};

/** Drops what was typed while something was running. To be called before a new screen is drawn. */
export const dropKeys = async (signal: AbortSignal): Promise<void> => {
  const { stdin } = process;
  const drop = (): void => {};
  stdin.setRawMode(true);
  stdin.on('data', drop).resume();
  try {
    await sleep(drainMs, undefined, { signal });
  } finally {
    stdin.off('data', drop).pause();
    if (!stdin.destroyed) stdin.setRawMode(false);
  }
};

/**
 * Waits for one key, without Enter. `resize` says that the terminal has another size; undefined that the input has
 * ended (Ctrl-D, a terminal that is gone). Ctrl-C is the signal that it always is, and Ctrl-Z stops the program; it goes on
 * with `resize`. Throws when `signal` is aborted.
 */
export const readKey = async (signal: AbortSignal): Promise<string | undefined> => {
  const { stdin, stdout } = process;
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const onKey = (text: string | undefined, key: Key): void => {
    if (key.ctrl && key.name === 'c') process.kill(process.pid, 'SIGINT');
    else if (key.ctrl && key.name === 'z') stop();
    else if (key.ctrl && key.name === 'd') resolve(undefined);
    else resolve(nameOf(text, key));
  };
  const stop = (): void => {
    stdin.setRawMode(false);
    process.once('SIGCONT', () => resolve('resize'));
    process.kill(process.pid, 'SIGTSTP');
  };
  const onResize = (): void => resolve('resize');
  const onEnd = (): void => resolve(undefined);
  const onAbort = (): void => reject(signal.reason);
  signal.throwIfAborted();
  emitKeypressEvents(stdin);
  stdin.setRawMode(true);
  stdin.on('keypress', onKey).once('end', onEnd).once('close', onEnd).resume();
  stdout.on('resize', onResize);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    stdout.off('resize', onResize);
    stdin.off('keypress', onKey).off('end', onEnd).off('close', onEnd).pause();
    if (!stdin.destroyed) stdin.setRawMode(false);
  }
};
