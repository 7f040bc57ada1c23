import { UserError } from '../../lib/engine/errors.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import type { State } from '../../lib/engine/state.ts';
import type { LabStep } from '../../lib/engine/step.ts';
import { type Language, languageOf } from '../../lib/engine/text.ts';
import { stepIds } from '../../steps/index.ts';
import { resetTo } from '../lab.ts';
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
  /** Whether nothing may be drawn twice, as for a screen reader. */
  readonly plain?: boolean;
}

interface Asked {
  readonly observe?: boolean;
  /** True for --pause without a list of steps. */
  readonly pause?: boolean | string;
  readonly lang?: string;
  readonly json?: boolean;
  readonly plain?: boolean;
}

/** The steps that --pause names: all of them where it names none. Throws UserError, with the nearest, for one that is not. */
export const parsePauses = (pause: Asked['pause']): ReadonlySet<string> =>
  new Set(typeof pause === 'string' ? pause.split(',').map((id) => parseChoice('step', stepIds, id.trim())) : stepIds);

/**
 * Parses --observe, --pause and --lang; undefined where no lesson is asked for. Throws UserError for --pause without a
 * terminal and for an unknown step or language.
 */
export const parseLessonOptions = ({ observe, pause, lang, json, plain }: Asked): LessonOptions | undefined => {
  const language = languageOf(lang);
  if (pause === undefined) return observe ? { language, pauses: new Set() } : undefined;
  if (json || !process.stdin.isTTY || !process.stdout.isTTY)
    throw new UserError(
      '--pause waits for somebody at a terminal, and there is none here',
      'hardway next takes one step at a time without waiting; hardway up --observe looks without stopping',
    );
  return { language, pauses: parsePauses(pause), plain: (plain ?? false) || process.env['TERM'] === 'dumb' };
};

/** Returns the index of the last step that was applied before this run; -1 where there is none. */
export const lastBefore = (steps: readonly LabStep[], state: State | undefined): number =>
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

/** Tells whether every pause that was asked for is at a step that the lab has left behind. */
export const hasNoPause = ({ pauses }: LessonOptions, steps: readonly LabStep[], state: State | undefined): boolean => {
  const from = lastBefore(steps, state);
  return pauses.size > 0 && !steps.some(({ id }, index) => index >= from && pauses.has(id));
};
