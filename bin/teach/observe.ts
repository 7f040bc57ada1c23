import { reasonOf, Unhealthy } from '../../lib/engine/errors.ts';
import type { RunEvent } from '../../lib/engine/events.ts';
import { shownOutput } from '../../lib/engine/observations.ts';
import type { Context, LabObservation, LabStep } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';

/** Formats an observation for a person: phrase, command, output. */
export const observationLines = ({
  phrase,
  command,
  output,
}: Extract<RunEvent, { event: 'observation' }>): readonly string[] => [
  `  * ${phrase}`,
  `    $ ${command}`,
  ...shownOutput(output).map((line) => `      ${line}`),
];

interface Telling {
  readonly language: Language;
  readonly tell: (event: RunEvent) => void | Promise<void>;
  /** Called with each observation that holds and its output, before it is shown. */
  readonly keep: (observation: LabObservation, output: string) => Promise<void>;
}

/**
 * Makes the observations of a step in their order and shows each with its output. Throws Unhealthy, with what was seen
 * instead, at the first that does not hold.
 */
export const observeStep = async (
  step: LabStep,
  context: Context,
  { language, tell, keep }: Telling,
): Promise<void> => {
  const { observations } = step;
  if (observations.length === 0) return;
  const begin = performance.now();
  for (const observation of observations) {
    const { phrase, command, look } = observation;
    context.signal.throwIfAborted();
    const output = await look(context).catch((error: unknown) => {
      context.signal.throwIfAborted();
      throw new Unhealthy(
        `${step.id}: the story says "${phrase[language]}", but it is not so\n$ ${command}\nseen instead: ${reasonOf(error)}`,
        { next: `hardway check ${step.id}; hardway shell, to look for yourself` },
      );
    });
    await keep(observation, output);
    await tell({ event: 'observation', step: step.id, phrase: phrase[language], command, output });
  }
  const seconds = Math.round(performance.now() - begin) / 1000;
  await tell({ event: 'step', step: step.id, state: 'observed', seconds });
};
