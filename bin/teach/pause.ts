import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { runChecks } from '../../lib/engine/check.ts';
import { reasonOf } from '../../lib/engine/errors.ts';
import type { Context, LabStep } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import { demoIsThere } from '../../steps/demo.ts';
import { asTyped } from '../typed.ts';
import { explainWord } from './explain.ts';
import { readLesson } from './lesson.ts';
import { answersPage, lessonPage } from './pages.ts';
import { ask, openShell, page } from './terminal.ts';
import { words } from './words.ts';

/** Thrown when the learner stops for today: no failure, nothing is undone. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
}

export interface Pause {
  readonly step: LabStep;
  /** Steps up to this one. */
  readonly done: readonly LabStep[];
  readonly context: Context;
  readonly language: Language;
  /** True if the demo objects should exist. */
  readonly demo: boolean;
  /** Makes the step's observations again. Throws at the first that does not hold. */
  readonly lookAgain: () => Promise<void>;
}

const say = (text: string): void => {
  process.stdout.write(`${asTyped(text)}\n`);
};

/** Lists what no longer works after the pause, with the command that repairs it: the next step would fail over it. */
const broken = async ({ done, context, language, demo }: Pause): Promise<readonly string[]> => {
  const { wayBack } = words[language];
  const found = await Promise.all(
    done.map(async (step) => {
      const [failure] = await runChecks(step.checks, context);
      if (!failure) return [];
      const way = step.daemon ? supervisorOf(context.lab).typed(step.daemon.name).start : 'hardway up';
      return [`${step.id}: ${failure.phrase}: ${failure.reason}`, wayBack(way)];
    }),
  );
  const missing = demo ? await demoIsThere(context).catch(() => undefined) : undefined;
  return [...found.flat(), ...(missing ? [missing] : [])];
};

const logs = async ({ step, done, context, language }: Pause): Promise<void> => {
  const names = done.flatMap(({ daemon }) => (daemon ? [daemon.name] : []));
  const own = step.daemon?.name;
  const name = own ?? (await ask(words[language].whichComponent(names), context.signal))?.trim();
  if (name === undefined || !names.includes(name)) return;
  say((await supervisorOf(context.lab).lastLog(name, 20)).join('\n'));
};

/** Shows the menu of a step until the learner continues. Throws Stopped when the learner stops for today. */
export const pauseAt = async (pause: Pause): Promise<void> => {
  const { step, context, language, lookAgain } = pause;
  const { signal } = context;
  const { choices, choose, page: more, whichWord, shell, notSo } = words[language];
  const lesson = await readLesson(step.id, language);

  const acts: readonly (() => Promise<'on' | undefined>)[] = [
    async () => {
      const problems = await broken(pause);
      if (problems.length === 0) return 'on';
      say([notSo, ...problems].join('\n  '));
      return undefined;
    },
    async () => {
      say(shell);
      await openShell();
      return undefined;
    },
    async () => {
      await lookAgain();
      return undefined;
    },
    async () => {
      await logs(pause);
      return undefined;
    },
    async () => {
      const word = (await ask(whichWord, signal))?.trim();
      if (word) await page(await explainWord(word, context, language), more, signal);
      return undefined;
    },
    async () => {
      await page(lessonPage(lesson), more, signal);
      return undefined;
    },
    async () => {
      await page(answersPage(lesson), more, signal);
      return undefined;
    },
    async () => {
      throw new Stopped(step.id);
    },
  ];

  for (;;) {
    const menu = choices.map((choice, index) => `  ${index + 1} ${choice}`);
    say(`\n${step.id}\n${menu.join('\n')}`);
    const answer = await ask(choose(choices.length), signal);
    if (answer === undefined) throw new Stopped(step.id);
    const act = acts[Number(answer.trim()) - 1];
    try {
      if ((await act?.()) === 'on') return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Stopped) throw error;
      say(reasonOf(error));
    }
  }
};
