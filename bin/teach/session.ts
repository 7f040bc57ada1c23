import { reasonOf, UserError } from '../../lib/engine/errors.ts';
import type { Tell } from '../../lib/engine/events.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { saveObservation } from '../../lib/engine/observations.ts';
import type { State } from '../../lib/engine/state.ts';
import type { Context, LabStep } from '../../lib/engine/step.ts';
import { type Language, languageOf } from '../../lib/engine/text.ts';
import { paths } from '../../lib/host/paths.ts';
import { ensureDemo, removeDemo } from '../../steps/demo.ts';
import { stepIds } from '../../steps/index.ts';
import { resetTo } from '../lab.ts';
import { observationLines, observeStep } from './observe.ts';
import { stepPage } from './pages.ts';
import { pauseAt } from './pause.ts';
import { openPager, type Pager } from './terminal.ts';
import { words } from './words.ts';

/** Options of the lessons during a run. */
export interface LessonOptions {
  readonly language: Language;
  /** Ids of the steps after which the run waits for the learner. */
  readonly pauses: ReadonlySet<string>;
  /** Id of the only step that is shown, with its lesson and without waiting: `hardway next`. */
  readonly only?: string;
  /** Whether lessons are left out, because a program reads the output. */
  readonly bare?: boolean;
}

/** Lines of the menu, with the line of the step above it. */
const menuLines = 13;

/** Pager that writes without stopping. */
const noPager: Pager = {
  ensureLines: async () => {},
  async write(text) {
    process.stdout.write(`${text}\n`);
  },
};

interface Asked {
  readonly observe?: boolean;
  /** True for --pause without a list of steps. */
  readonly pause?: boolean | string;
  readonly lang?: string;
  readonly json?: boolean;
}

/** The steps that --pause names: all of them where it names none. Throws UserError, with the nearest, for one that is not. */
export const parsePauses = (pause: Asked['pause']): ReadonlySet<string> =>
  new Set(typeof pause === 'string' ? pause.split(',').map((id) => parseChoice('step', stepIds, id.trim())) : stepIds);

/**
 * Parses --observe, --pause and --lang; undefined where no lesson is asked for. Throws UserError for --pause without a
 * terminal and for an unknown step or language.
 */
export const parseLessonOptions = ({ observe, pause, lang, json }: Asked): LessonOptions | undefined => {
  const language = languageOf(lang);
  if (pause === undefined) return observe ? { language, pauses: new Set() } : undefined;
  if (json || !process.stdin.isTTY || !process.stdout.isTTY)
    throw new UserError(
      '--pause waits for somebody at a terminal, and there is none here',
      'hardway next takes one step at a time without waiting; hardway up --observe looks without stopping',
    );
  return { language, pauses: parsePauses(pause) };
};

/** Returns the index of the last step that was applied before this run; -1 where there is none. */
const lastBefore = (steps: readonly LabStep[], state: State | undefined): number =>
  steps.findLastIndex(({ id }) => id in (state?.steps ?? {}));

/**
 * Returns a line about the requested pauses that are skipped, because later steps were applied before; '' where none
 * is.
 */
export const skippedPauses = (
  { pauses, language }: LessonOptions,
  steps: readonly LabStep[],
  state: State | undefined,
): string => {
  const ids = steps.map(({ id }) => id);
  if (ids.every((id) => pauses.has(id))) return ''; // none was named: the run pauses where the story goes on
  const from = lastBefore(steps, state);
  const passed = ids.filter((id, index) => index < from && pauses.has(id));
  const [first] = passed;
  if (!first) return '';
  return `${words[language].passed(passed, ids[from] ?? '', resetTo(ids[ids.indexOf(first) - 1]))}\n`;
};

/**
 * Returns the hook after each step: show observations, pause. Steps before the last one that was already applied are
 * skipped, because their observations are no longer true. After the last step the demo objects are deleted.
 */
export const afterStep = (
  telling: LessonOptions | undefined,
  steps: readonly LabStep[],
  state: State | undefined,
  tell: Tell,
) => {
  const indexOf = (id: string): number => steps.findIndex((step) => step.id === id);
  const from = lastBefore(steps, state);
  /** Tells whether a step or one before it brings a part of the demo. */
  const demoHasBegun = (index: number): boolean => steps.slice(0, index + 1).some(({ demo }) => demo);
  let demoIsKnown = false;

  /** Re-creates demo objects that are missing. */
  const restoreDemo = async (step: LabStep, context: Context, { language }: LessonOptions): Promise<void> => {
    if (demoIsKnown) return;
    const before = steps.slice(0, indexOf(step.id));
    const back = await ensureDemo(context, before);
    if (back.length > 0) tell({ event: 'progress', step: step.id, text: words[language].putBack(back) });
  };

  const showStep = async (step: LabStep, context: Context, now: LessonOptions): Promise<void> => {
    const { language, pauses, only, bare } = now;
    const index = indexOf(step.id);
    const paused = pauses.has(step.id);
    const pager = paused ? openPager(words[language].page, context.signal) : noPager;
    const inFull = paused || (only === step.id && !bare);
    if (inFull)
      await pager.write(await stepPage(step, context.lab, language, { number: index + 1, total: steps.length }));
    await restoreDemo(step, context, now);
    demoIsKnown ||= demoHasBegun(index);
    const look = ({ write }: Pager) =>
      observeStep(step, context, {
        language,
        keep: (observation, output) => saveObservation(paths.seen, step.id, observation, output),
        tell: (event) =>
          paused && event.event === 'observation' ? write(observationLines(event).join('\n')) : tell(event),
      });
    if (inFull && step.observations.length > 0) await pager.write(`\n## ${words[language].observations}`);
    if (!paused) return look(pager);
    await look(pager).catch((error: unknown) => {
      context.signal.throwIfAborted();
      process.stdout.write(`${reasonOf(error)}\n`);
    });
    await pager.ensureLines(menuLines);
    await pauseAt({
      step,
      done: steps.slice(0, index + 1),
      context,
      language,
      demo: demoHasBegun(index),
      lookAgain: async () => {
        const again = openPager(words[language].page, context.signal);
        await look(again);
        await again.ensureLines(menuLines);
      },
    });
  };

  return async (step: LabStep, context: Context): Promise<void> => {
    const index = indexOf(step.id);
    if (telling && index >= from && (telling.only === undefined || telling.only === step.id))
      await showStep(step, context, telling);
    if (index === steps.length - 1) await removeDemo(context);
  };
};
