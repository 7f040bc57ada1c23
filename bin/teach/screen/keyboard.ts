import { once } from 'node:events';
import { emitKeypressEvents, type Key } from 'node:readline';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds in which the terminal hands over what was typed while something was running. */
const drainMs = 30;

/** Milliseconds after which a program that was not stopped by SIGTSTP, as no shell would wake it, goes on. */
const stopMs = 50;

/**
 * Asks for a line. Where `edited`, Node edits it, and Ctrl-D takes the question back; otherwise the terminal itself does and
 * nothing is redrawn, for a screen reader, and Ctrl-D ends the input. Undefined where no line was typed. Throws when
 * `signal` is aborted.
 */
export const ask = async (prompt: string, signal: AbortSignal, edited = false): Promise<string | undefined> => {
  const lines = createInterface({ input: process.stdin, output: process.stdout, terminal: edited, historySize: 0 });
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const closed = once(lines, 'close').then(() => undefined);
    return await Promise.race([lines.question(prompt, { signal }), closed]);
  } finally {
    lines.close();
  }
};

/**
 * Returns the name of a key that was pressed: the character itself, or space, enter, escape, pageup, pagedown, up, down. One
 * that was pressed with Ctrl or Alt has that before its name.
 */
export const nameOf = (text: string | undefined, { name = '', ctrl, meta }: Key): string => {
  if (name === 'return' || name === 'enter') return 'enter';
  if (name === 'escape') return name; // Node takes it for Alt
  if (ctrl) return `Ctrl-${name}`;
  if (meta) return `Alt-${name}`;
  return text !== undefined && text > ' ' && text !== '\x7f' ? text : name;
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
  if (stdin.readableEnded || stdin.destroyed) return undefined;
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const onKey = (text: string | undefined, key: Key): void => {
    if (key.ctrl && key.name === 'c') process.kill(process.pid, 'SIGINT');
    else if (key.ctrl && key.name === 'z') stop();
    else if (key.ctrl && key.name === 'd') resolve(undefined);
    else resolve(nameOf(text, key));
  };
  const stop = (): void => {
    stdin.setRawMode(false);
    setTimeout(() => resolve('resize'), stopMs);
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
