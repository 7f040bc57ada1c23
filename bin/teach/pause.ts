import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { reasonOf } from '../../lib/engine/errors.ts';
import type { LabStep } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import { paths } from '../../lib/host/paths.ts';
import { labels } from './labels.ts';
import { markStates, openStepShell, typeAnswer } from './learner.ts';
import { type Lesson, readLesson } from './lesson.ts';
import { lessonPage } from './pages.ts';
import { askQuestions, blocksOf, explain, type Pause, showFlags, showLog, showMap, showSeen } from './reading.ts';
import { readRecord } from './record.ts';
import { type Problem, problemsOf, repair } from './repair.ts';
import { openScreens, type Screens } from './screen/show.ts';
import { type After, afterView, beforeView, type Observed, type Seen, welcomeView } from './views.ts';

/** Thrown when the learner stops for today: no failure, nothing is undone. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
}

/** Makes the screens of a pause in a language. */
export const screensFor = (language: Language, signal: AbortSignal, plain: boolean): Screens =>
  openScreens(labels[language], signal, plain);

/** Shows the first screen. Throws Stopped when the learner stops there. */
export const showWelcome = async (pause: Pause): Promise<void> => {
  const view = welcomeView(pause.place.total, pause.language);
  for (;;) {
    const key = await pause.screens.show(view);
    if (key === undefined || key === 'x') throw new Stopped(pause.step.id);
    if (key === 'space') return;
    await showMap(pause, pause.place.number - 1);
  }
};

/** Does what a key asks for that both screens have. */
const actOnBoth = async (key: string, pause: Pause, lesson: Lesson, done: number): Promise<void> => {
  const { step, screens } = pause;
  if (key === 'l') await screens.read(step.id, blocksOf(lessonPage(lesson)));
  if (key === 'm') await explain(pause);
  if (key === 'p') await showMap(pause, done);
  if (key === 'x') throw new Stopped(step.id);
};

/** Runs `act`; returns the words of an error, so that the screen can show them. Throws Stopped and what the signal says. */
const noteOf = async ({ context: { signal } }: Pause, act: () => Promise<string | undefined>): Promise<string> => {
  try {
    return (await act()) ?? '';
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Stopped) throw error;
    return reasonOf(error).split('\n')[0] ?? '';
  }
};

/** Runs what does not work before a step; what cannot be looked at is shown as its error says. */
export const lookBefore = async ({ step, context }: Pick<Pause, 'step' | 'context'>): Promise<readonly Seen[]> => {
  const seen: Seen[] = [];
  for (const { command, look } of step.teaching?.before ?? []) {
    const output = await look(context).catch((error: unknown) => {
      context.signal.throwIfAborted();
      return reasonOf(error);
    });
    seen.push({ command, output });
  }
  return seen;
};

/**
 * Shows the screen before a step until the learner lets it start. Returns the number of the guess, undefined where there is
 * none. Throws Stopped when the learner stops for today.
 */
export const pauseBefore = async (pause: Pause, failing: readonly Seen[]): Promise<number | undefined> => {
  const { step, place, language, screens } = pause;
  const lesson = await readLesson(step.id, language);
  const view = beforeView(step.id, lesson.brief, failing, place, language);
  for (let note = ''; ; ) {
    const key = await screens.show(view, note);
    if (key === undefined) throw new Stopped(step.id);
    if (key === 'space') return undefined;
    if (/^[1-3]$/.test(key)) return Number(key);
    note = await noteOf(pause, async () => {
      await actOnBoth(key, pause, lesson, place.number - 1);
      return undefined;
    });
  }
};

/** Finds the line of a daemon's log that says that it has started. */
const findLogLine = async ({ step, context }: Pause): Promise<string | undefined> => {
  const pattern = step.teaching?.started;
  if (!step.daemon || !pattern) return undefined;
  const lines = await supervisorOf(context.lab)
    .lastLog(step.daemon.name, 2000)
    .catch(() => []);
  return lines.findLast((line) => pattern.test(line));
};

/**
 * Shows the screen after a step until the learner goes on. Throws Stopped when the learner stops for today. `again` applies
 * a step once more.
 */
export const pauseAfter = async (
  pause: Pause,
  { before, observed }: { readonly before: readonly Seen[]; readonly observed: readonly Observed[] },
  again: (step: LabStep) => Promise<void>,
): Promise<void> => {
  const { step, place, language, screens } = pause;
  const lesson = await readLesson(step.id, language);
  const logLine = await findLogLine(pause);
  let problems: readonly Problem[] = [];
  const acts: Readonly<Record<string, () => Promise<unknown>>> = {
    s: () => openStepShell(pause, lesson),
    t: () => typeAnswer(pause),
    r: () => askQuestions(pause, lesson),
    o: () => showFlags(pause, lesson),
    v: () => showSeen(pause, before, observed),
    j: () => showLog(pause),
    a: async () => {
      const said = await repair(await problemsOf(pause, again), language);
      problems = [];
      return said;
    },
  };
  for (let note = ''; ; ) {
    await markStates(pause);
    const after: After = {
      step,
      lesson,
      place,
      before,
      observed,
      ...(logLine && { logLine }),
      record: await readRecord(paths.learner),
      problems: problems.map(({ text }) => text),
    };
    const key = await screens.show(afterView(after, language), note);
    if (key === undefined) throw new Stopped(step.id);
    if (key === 'space') {
      note = await noteOf(pause, async () => {
        problems = await problemsOf(pause, again);
        return undefined;
      });
      if (note === '' && problems.length === 0) return;
      continue;
    }
    note = await noteOf(pause, async () => {
      const said = await acts[key]?.();
      await actOnBoth(key, pause, lesson, place.number);
      return typeof said === 'string' ? said : undefined;
    });
  }
};
