import type { Task } from '../lib/engine/step.ts';
import type { Text } from '../lib/engine/text.ts';
import { runInLabShell } from './observe.ts';

const trimmed = (output: string): string => output.trim() || '(nothing)';

/** Makes a task that is done when the output of `command` matches, whoever did it and how. `hint` is one way to do it. */
export const doIt = (
  id: string,
  text: Text,
  { hint, command, shows }: { hint: string; command: string; shows: RegExp },
): Task => ({
  id,
  text,
  hint,
  kind: 'state',
  async mark({ signal }) {
    const output = await runInLabShell(command, signal);
    return { done: shows.test(output), seen: `$ ${command}\n${trimmed(output)}` };
  },
});

/**
 * Makes a task whose answer is a word in the output of `command`: one of those that `finds` matches, or all of the output.
 */
export const tell = (id: string, text: Text, command: string, finds = /\S+/g): Task => ({
  id,
  text,
  hint: command,
  kind: 'answer',
  async mark({ signal }, typed = '') {
    const output = await runInLabShell(command, signal);
    const right = [...output.matchAll(finds)].map(([all, group]) => (group ?? all).toLowerCase());
    if (right.length === 0) throw new Error(`$ ${command}\n${trimmed(output)}`);
    return { done: right.includes(typed.trim().toLowerCase()), seen: `$ ${command}\n${trimmed(output)}` };
  },
});
