import { reasonOf, Unhealthy } from './errors.ts';
import type { RunEvent } from './events.ts';
import type { Language } from './language.ts';
import type { Context, Step } from './step.ts';

/**
 * Goes through the observations of a step in their order and tells each with its output. Throws Unhealthy, with what
 * was seen instead, at the first that is not so.
 */
export const observeStep = async (
  step: Step,
  context: Context,
  tell: (event: RunEvent) => void | Promise<void>,
  language: Language,
): Promise<void> => {
  const observations = step.observations ?? [];
  if (observations.length === 0) return;
  const begin = performance.now();
  for (const { phrase, command, look } of observations) {
    context.signal.throwIfAborted();
    const output = await look(context).catch((error: unknown) => {
      context.signal.throwIfAborted();
      throw new Unhealthy(
        `${step.id}: the story says "${phrase[language]}", but it is not so\n$ ${command}\nseen instead: ${reasonOf(error)}`,
        { next: `hardway check ${step.id}; hardway shell, to look for yourself` },
      );
    });
    await tell({ event: 'observation', step: step.id, phrase: phrase[language], command, output });
  }
  const seconds = Math.round(performance.now() - begin) / 1000;
  await tell({ event: 'step', step: step.id, state: 'observed', seconds });
};
