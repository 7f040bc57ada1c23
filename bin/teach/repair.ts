import { runChecks } from '../../lib/engine/check.ts';
import type { LabStep } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import { demoIsThere, ensureDemo } from '../../steps/demo.ts';
import { labels } from './labels.ts';
import type { Pause } from './reading.ts';

/** A step that is not healthy any more, or the demo, and what to do about it. */
export interface Problem {
  readonly text: string;
  readonly repair: () => Promise<void>;
}

/** Lists what no longer works after the pause: the next step would fail over it. */
export const problemsOf = async (
  { steps, done, demo, context }: Pause,
  again: (step: LabStep) => Promise<void>,
): Promise<readonly Problem[]> => {
  const gone = demo ? await demoIsThere(context).catch(() => undefined) : undefined;
  const demoProblem: Problem = {
    text: gone ?? '',
    repair: async () => void (await ensureDemo(context, steps.slice(0, done.length))),
  };
  const found = await Promise.all(
    done.map(async (step): Promise<readonly Problem[]> => {
      const [failure] = await runChecks(step.checks, context);
      return failure
        ? [{ text: `${step.id}: ${failure.phrase}: ${failure.reason.split('\n')[0]}`, repair: () => again(step) }]
        : [];
    }),
  );
  return [...found.flat(), ...(gone ? [demoProblem] : [])];
};

/** Repairs what is broken, one after the other. Returns what it was. */
export const repair = async (problems: readonly Problem[], language: Language): Promise<string> => {
  const label = labels[language];
  for (const problem of problems) await problem.repair();
  const what = problems.map(({ text }) => text.split(':')[0]).join(', ');
  return what === '' ? label.nothingToRepair : label.repaired(what);
};
