import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { labEnvironment } from '../../lib/host/paths.ts';
import { attach } from '../../lib/host/run.ts';

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

/** Shows texts one after the other, a screen at a time. */
export interface Pager {
  readonly write: (text: string) => Promise<void>;
  /** Pauses unless so many more lines fit on the screen. */
  readonly ensureLines: (lines: number) => Promise<void>;
}

/** Makes a pager that pauses with `prompt` whenever a screen is full, until the learner types q. */
export const openPager = (prompt: string, signal: AbortSignal): Pager => {
  let used = 0;
  let stops = true;
  const ensureLines = async (lines: number): Promise<void> => {
    if (!stops || used + lines <= (process.stdout.rows ?? 24) - 2) return;
    const answer = await ask(prompt, signal);
    stops = answer !== undefined && answer.trim().toLowerCase() !== 'q';
    used = 0;
  };
  return {
    ensureLines,
    async write(text) {
      for (const line of text.split('\n')) {
        const height = Math.max(1, Math.ceil(line.length / (process.stdout.columns ?? 80)));
        await ensureLines(height);
        process.stdout.write(`${line}\n`);
        used += height;
      }
    },
  };
};

/** Shows one text a screen at a time. */
export const page = (text: string, prompt: string, signal: AbortSignal): Promise<void> =>
  openPager(prompt, signal).write(text);

/**
 * Start-up file of bash: the person's own settings, completion where bash has it, then a prompt that tells where one
 * is.
 */
const startUp = `
[ -f ~/.bashrc ] && . ~/.bashrc
[ -f /usr/share/bash-completion/bash_completion ] && . /usr/share/bash-completion/bash_completion
. <(kubectl completion bash)
PS1='(hardway) \\w \\$ '
`;

/** Opens a shell in which kubectl, etcdctl, crictl and ctr reach this cluster; returns its exit code. */
export const openShell = (): Promise<number> => {
  const shell = process.env['SHELL'] ?? '/bin/bash';
  const env = { ...labEnvironment(), HARDWAY_START_UP: startUp };
  return shell.endsWith('/bash')
    ? attach(shell, ['-c', 'exec "$0" --rcfile <(printf %s "$HARDWAY_START_UP") -i', shell], env)
    : attach(shell, [], env);
};
