import { reasonOf } from '../../lib/engine/errors.ts';
import type { Tell } from '../../lib/engine/events.ts';
import { saveObservation } from '../../lib/engine/observations.ts';
import type { State } from '../../lib/engine/state.ts';
import type { Context, LabStep } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import { paths } from '../../lib/host/paths.ts';
import { ensureDemo, removeDemo } from '../../steps/demo.ts';
import { labels } from './labels.ts';
import { readLesson } from './lesson.ts';
import { observeStep } from './observe.ts';
import { stepPage } from './pages.ts';
import { lookBefore, pauseAfter, pauseBefore, screensFor, showWelcome } from './pause.ts';
import type { Pause } from './reading.ts';
import { readRecord, saveGuess } from './record.ts';
import { type LessonOptions, lastBefore } from './session.ts';
import { farewell, type Observed, type Place, type Seen } from './views.ts';
import { words } from './words.ts';

/** The hooks of a run with lessons: before a step is applied, and after each step. */
interface LessonHooks {
  readonly beforehand?: (step: LabStep, context: Context) => Promise<void>;
  readonly afterwards: (step: LabStep, context: Context, again: (step: LabStep) => Promise<void>) => Promise<void>;
}

/** A run with lessons. */
interface Story {
  readonly telling: LessonOptions;
  readonly steps: readonly LabStep[];
  /** Index of the last step that was applied before this run. */
  readonly from: number;
  readonly tell: Tell;
  /** What did not work before each step of this run. */
  readonly failing: Map<string, readonly Seen[]>;
  /** Guesses of this run. They are recorded after the step: the first makes the folder of the lab. */
  readonly guesses: Map<string, number>;
  /** True once the demo objects are known to be there. */
  demoIsKnown: boolean;
  /** True once the first screen was shown. */
  welcomed: boolean;
}

const indexOf = ({ steps }: Story, { id }: LabStep): number => steps.findIndex((step) => step.id === id);

/** Tells whether a step up to this one brings a part of the demo. */
const demoHasBegun = ({ steps }: Story, index: number): boolean => steps.slice(0, index + 1).some(({ demo }) => demo);

/** Re-creates demo objects of the steps before this one that are missing. */
const restoreDemo = async (story: Story, step: LabStep, context: Context): Promise<void> => {
  const index = indexOf(story, step);
  if (story.demoIsKnown || !demoHasBegun(story, index - 1)) return;
  const back = await ensureDemo(context, story.steps.slice(0, index));
  if (back.length > 0)
    story.tell({ event: 'progress', step: step.id, text: words[story.telling.language].putBack(back) });
};

const placeOf = (steps: readonly LabStep[], index: number): Place => ({ number: index + 1, total: steps.length });

const pauseAt = (story: Story, step: LabStep, context: Context): Pause => {
  const index = indexOf(story, step);
  const { language, plain = false } = story.telling;
  return {
    step,
    steps: story.steps,
    done: story.steps.slice(0, index + 1),
    place: placeOf(story.steps, index),
    demo: demoHasBegun(story, index),
    context,
    language,
    screens: screensFor(language, context.signal, plain),
  };
};

const observe = (step: LabStep, context: Context, language: Language, tell: Tell): Promise<void> =>
  observeStep(step, context, {
    language,
    keep: (observation, output) => saveObservation(paths.seen, step.id, observation, output),
    tell,
  });

/** Writes over the line of the cursor; nothing where a line cannot be drawn again. */
const overwrite = (text: string, { plain = false }: LessonOptions): void => {
  if (!plain) process.stdout.write(`\r\x1b[K${text.slice(0, (process.stdout.columns || 80) - 1)}`);
};

/** Makes the observations of a step for its screen; the first that does not hold is the last, with what was seen. */
const observeForScreen = async (
  step: LabStep,
  context: Context,
  telling: LessonOptions,
): Promise<readonly Observed[]> => {
  const { language } = telling;
  const observed: Observed[] = [];
  const notYet = new Set(step.observations.filter((one) => one.notYet).map(({ phrase }) => phrase[language]));
  const next = (): string => step.observations[observed.length]?.phrase[language] ?? '';
  const sayNext = (): void => overwrite(labels[language].looking(next()), telling);
  sayNext();
  await observe(step, context, language, (event) => {
    if (event.event !== 'observation') return;
    const { phrase, command, output } = event;
    observed.push({ phrase, command, output, ...(notYet.has(phrase) && { notYet: true }) });
    sayNext();
  }).catch((error: unknown) => {
    context.signal.throwIfAborted();
    const output = reasonOf(error);
    observed.push({ phrase: next(), command: '', output, wrong: output.split('\n').at(-1) ?? '' });
  });
  overwrite('', telling);
  return observed;
};

/** Prints the lesson of a step where one is to be read in full, and its observations, without waiting. */
const tellStep = async ({ telling, steps, tell }: Story, step: LabStep, context: Context): Promise<void> => {
  const { language, only, bare } = telling;
  if (only === step.id && !bare) {
    const index = steps.findIndex(({ id }) => id === step.id);
    process.stdout.write(`${await stepPage(step, context.lab, language, placeOf(steps, index))}\n`);
    if (step.observations.length > 0) process.stdout.write(`\n## ${words[language].observations}\n`);
  }
  await observe(step, context, language, tell);
};

const before = async (story: Story, step: LabStep, context: Context): Promise<void> => {
  if (!story.telling.pauses.has(step.id)) return;
  const pause = pauseAt(story, step, context);
  if (!story.welcomed) await showWelcome(pause);
  story.welcomed = true;
  await restoreDemo(story, step, context);
  const failing = await lookBefore(pause);
  story.failing.set(step.id, failing);
  const guess = await pauseBefore(pause, failing);
  if (guess !== undefined) story.guesses.set(step.id, guess);
};

const after = async (
  story: Story,
  step: LabStep,
  context: Context,
  again: (step: LabStep) => Promise<void>,
): Promise<void> => {
  const { telling, from, failing } = story;
  const index = indexOf(story, step);
  if (index < from || (telling.only !== undefined && telling.only !== step.id)) return;
  await restoreDemo(story, step, context);
  story.demoIsKnown ||= demoHasBegun(story, index);
  if (!telling.pauses.has(step.id)) return tellStep(story, step, context);
  const guess = story.guesses.get(step.id);
  if (guess !== undefined) await saveGuess(paths.learner, step.id, guess);
  const observed = await observeForScreen(step, context, telling);
  await pauseAfter(pauseAt(story, step, context), { before: failing.get(step.id) ?? [], observed }, again);
};

/**
 * Returns the hooks of a run. With lessons: observations and pauses; steps before the last one that was already applied are
 * skipped, because their observations are no longer true. After the last step the demo objects are deleted.
 */
export const lessonHooks = (
  telling: LessonOptions | undefined,
  steps: readonly LabStep[],
  state: State | undefined,
  tell: Tell,
): LessonHooks => {
  const endDemo = async ({ id }: LabStep, context: Context): Promise<void> => {
    if (id === steps.at(-1)?.id) await removeDemo(context);
  };
  if (!telling) return { afterwards: endDemo };
  const from = lastBefore(steps, state);
  const story: Story = {
    telling,
    steps,
    from,
    tell,
    failing: new Map(),
    guesses: new Map(),
    demoIsKnown: false,
    welcomed: from >= 0,
  };
  return {
    beforehand: (step, context) => before(story, step, context),
    async afterwards(step, context, again) {
      await after(story, step, context, again);
      await endDemo(step, context);
    },
  };
};

/** Returns the last words of a run that paused: what was built, guesses and tasks, what comes next. */
export const farewellWords = async (steps: readonly LabStep[], language: Language): Promise<string> => {
  const briefs = await Promise.all(steps.map(async ({ id }) => [id, (await readLesson(id, language)).brief] as const));
  const record = await readRecord(paths.learner);
  return farewell(steps, Object.fromEntries(briefs), record, language).join('\n');
};
