import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../lib/engine/check.ts';
import type { Context, Observation } from '../lib/engine/step.ts';
import type { Text } from '../lib/engine/text.ts';
import { labEnvironment } from '../lib/host/paths.ts';
import { tryRun } from '../lib/host/run.ts';
import { demoIsThere } from './demo.ts';

/** Throws when a command's output is not what the observation says. */
type OutputAssertion = (output: string, context: Context) => void;

/** Milliseconds in which an observation must come true. */
const timeoutMs = 120_000;
/** Milliseconds for which "nothing happens" is watched; a controller at work reacts in a tenth of that. */
const quiet = 1_000;

/**
 * Runs a line as a learner would type it and returns its output, errors too. Does not throw when the command fails:
 * that may be what the observation shows.
 */
export const runInLabShell = async (command: string, signal?: AbortSignal): Promise<string> => {
  const { stdout } = await tryRun('sh', ['-c', `exec 2>&1\n${command}`], {
    env: labEnvironment(),
    timeout: timeoutMs,
    ...(signal && { signal }),
  });
  return stdout;
};

const nothing = (output: string): string => output.trim() || 'it prints nothing';

/** Checks an output and returns it; the error of the assertion gets the output added. */
const assertOutput = (output: string, judge: OutputAssertion, context: Context): string => {
  try {
    judge(output, context);
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${nothing(output)}`);
  }
  return output;
};

/** Runs an observation; adds to its error that the Deployment web is missing, where it is, and how to get it back. */
const explainMissingDemo = async <T>(context: Context, tale: () => Promise<T>): Promise<T> => {
  try {
    return await tale();
  } catch (error) {
    const gone = await demoIsThere(context).catch(() => undefined);
    throw gone && error instanceof Error ? new Error(`${error.message}\n${gone}`) : error;
  }
};

/**
 * Makes an observation that is repeated until it holds. With `stays` it must still hold a second later: nothing
 * happens. `before` prepares it.
 */
export const observe = (
  phrase: Text,
  command: string,
  judge: OutputAssertion,
  { stays = false, before }: { stays?: boolean; before?: (context: Context) => Promise<void> } = {},
): Observation => ({
  phrase,
  command,
  look: (context) =>
    explainMissingDemo(context, async () => {
      const { signal } = context;
      await before?.(context);
      let output = '';
      const look = async () => {
        output = assertOutput(await runInLabShell(command, signal), judge, context);
      };
      await until('it is not so', look, { signal, deadline: timeoutMs });
      if (!stays) return output;
      await sleep(quiet, undefined, { signal });
      await look();
      return output;
    }),
});

/** Makes an observation whose command runs once, because it changes the cluster. `before` prepares it. */
export const act = (
  phrase: Text,
  command: string,
  judge: OutputAssertion,
  before: (context: Context) => Promise<void> = async () => {},
): Observation => ({
  phrase,
  command,
  look: (context) =>
    explainMissingDemo(context, async () => {
      await before(context);
      return assertOutput(await runInLabShell(command, context.signal), judge, context);
    }),
});

/** Says of an observation that something does not work yet. */
export const notYet = (observation: Observation): Observation => ({ ...observation, notYet: true });

/** Makes an observation that is looked at once, before a step is taken: what does not work without it. */
export const fails = (command: string, judge: OutputAssertion): Observation =>
  notYet(act({ en: 'it does not work', fr: 'cela ne marche pas' }, command, judge));

/** Asserts that the output contains each of these words. */
export const says =
  (...words: readonly string[]) =>
  (output: string): void => {
    for (const word of words) if (!output.includes(word)) throw new Error(`it does not say "${word}"`);
  };

/** Asserts that the output does not contain this word. */
export const saysNot =
  (word: string) =>
  (output: string): void => {
    if (output.includes(word)) throw new Error(`it says "${word}"`);
  };

/** Asserts that the output is empty. */
export const printsNothing = (output: string): void => {
  if (output.trim() !== '') throw new Error('it prints something');
};

/** Asserts that exactly `count` lines match. */
export const lines =
  (count: number, pattern: RegExp) =>
  (output: string): void => {
    const found = output.split('\n').filter((line) => pattern.test(line)).length;
    if (found !== count) throw new Error(`${found} lines match ${pattern}, not ${count}`);
  };

/** Asserts that at least `count` lines match. */
export const atLeast =
  (count: number, pattern: RegExp) =>
  (output: string): void => {
    const found = output.split('\n').filter((line) => pattern.test(line)).length;
    if (found < count) throw new Error(`only ${found} lines match ${pattern}, not ${count}`);
  };

/** Asserts all of these. */
export const all =
  (...judges: readonly OutputAssertion[]): OutputAssertion =>
  (output, context) => {
    for (const judge of judges) judge(output, context);
  };
