import { UserError } from '../../lib/engine/errors.ts';
import type { Language } from '../../lib/engine/text.ts';

/** Headings of the two sections that the screens of a step are made of; no page of the lesson shows them. */
export const briefHeadings: Readonly<Record<Language, { readonly short: string; readonly before: string }>> = {
  en: { short: 'In short', before: 'Before it starts' },
  fr: { short: 'En bref', before: 'Avant son démarrage' },
};

/** A question that is asked before a step is taken, with what may be guessed. */
export interface Guess {
  readonly question: string;
  readonly options: readonly string[];
  /** Number of the right option, from 1 on. */
  readonly right: number;
  readonly because: string;
}

/** What the two screens of a step say besides what is seen on the machine. */
export interface Brief {
  readonly does: string;
  /** Whom its component talks to and as whom; absent for a step without a process of its own. */
  readonly talksTo?: string;
  readonly why: string;
  readonly missing: string;
  readonly guess: Guess;
}

/** Joins the lines of a text, without the marks of code. */
const joined = (text: string): string => text.trim().replaceAll(/\s+/g, ' ').replaceAll('`', '');

/** Returns the texts of the items of a list, without the word before the first colon. */
const itemsIn = (text: string): readonly string[] =>
  text
    .split(/^- /m)
    .slice(1)
    .map((item) => joined(item).replace(/^[^:]+: /, ''));

/**
 * Parses the two sections. Throws UserError, with the file's name, where one is not of the form: a list of what it does and
 * whom it talks to; a list of why and what is missing, then a question (### ...), three options (1. ...) and the answer
 * (> NUMBER: because).
 */
export const parseBrief = (short: string, before: string, file: string): Brief => {
  const wrong = (what: string): UserError =>
    new UserError(`${file}: ${what}`, `correct ${file}, then run hardway again`);
  const [does, talksTo] = itemsIn(short);
  const [told = '', asked = ''] = before.split(/^### /m);
  const [why, missing] = itemsIn(told);
  if (!does || !why || !missing) throw wrong('a line of its first two sections is missing');
  const [heading = '', ...rest] = asked.split('\n');
  const question = joined(heading);
  const [choices = '', answer = ''] = rest.join('\n').split(/^> /m, 2);
  const options = choices
    .split(/^\d\. /m)
    .slice(1)
    .map(joined);
  const reason = rest.join('\n').slice(choices.length).replaceAll(/^> /gm, '');
  const [, number, because] = /^(\d): ([\s\S]+)$/.exec(reason.trim()) ?? [];
  const right = Number(number);
  if (answer === '' || because === undefined || options.length !== 3 || !options[right - 1])
    throw wrong(`the question "${question}" needs three options and an answer of the form > 2: because`);
  return {
    does,
    ...(talksTo && { talksTo }),
    why,
    missing,
    guess: { question, options, right, because: joined(because) },
  };
};
