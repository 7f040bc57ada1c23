import { styleText } from 'node:util';
import { ask, dropKeys, readKey } from './keyboard.ts';
import {
  type Block,
  type Choice,
  draw,
  pagesOf,
  type Row,
  type Size,
  type Tone,
  type View,
  wrapLine,
} from './layout.ts';

/** Texts of the screens themselves. */
export interface ScreenWords {
  readonly prompt: string;
  /** Names of the space bar and of Enter. */
  readonly spaceKey: string;
  readonly enterKey: string;
  /** Prompt where a key needs Enter. */
  readonly typedPrompt: string;
  readonly unknownKey: (key: string) => string;
  readonly page: (number: number, total: number) => string;
  readonly more: string;
  readonly close: string;
}

/** How a learner is shown screens: redrawn with single keys, or as lines with Enter for a screen reader or a dumb terminal. */
export interface Screens {
  /**
   * Shows a view until one of its keys is pressed, and returns that; Space turns its pages first. Undefined when the
   * terminal is gone or the input ends. `note` is a line above the footer's prompt.
   */
  readonly show: (view: View, note?: string) => Promise<string | undefined>;
  /** Shows a long text above a footer of its own, until the learner closes it. */
  readonly read: (title: string, body: readonly Block[]) => Promise<void>;
  /** Asks for a line of text. */
  readonly ask: (prompt: string) => Promise<string | undefined>;
}

const styles: Readonly<Record<Tone, Parameters<typeof styleText>[0]>> = {
  strong: 'bold',
  dim: 'dim',
  good: 'green',
  bad: 'yellow',
};

const style = (tone: Tone, text: string): string => styleText(styles[tone], text, { stream: process.stdout });

const painted = ({ text, label, tone }: Row): string => {
  const head = label === undefined ? '' : style('strong', label);
  const rest = text.slice(label?.length ?? 0);
  return `${head}${tone && rest !== '' ? style(tone, rest) : rest}`;
};

const sizeNow = (): Size => ({ rows: process.stdout.rows || 24, columns: process.stdout.columns || 80 });

/** Moves what is on the screen into the terminal's own history, where it can be read again. */
const scrollAway = ({ rows }: Size): void => {
  process.stdout.write(`\x1b[${rows};1H${'\n'.repeat(rows)}`);
};

/**
 * Keys that stand for another one: Enter for Space, Esc for the key that closes, and what a French keyboard gives for 1, 2
 * and 3 without Shift.
 */
const sameAs: Readonly<Record<string, string>> = { enter: 'space', escape: 'q', '&': '1', é: '2', '"': '3' };

/** Finds the choice that a key stands for; a capital letter counts as the small one. */
export const choiceOf = (footer: readonly Choice[], typed: string): Choice | undefined =>
  footer.find(({ key }) => key === typed) ??
  footer.find(({ key }) => key === (sameAs[typed] ?? (typed.length === 1 ? typed.toLowerCase() : typed)));

/** Returns the page that a key leads to; undefined for a key that turns none, as Space on the last page, which is a choice. */
export const turned = (key: string, page: number, pages: number): number | undefined => {
  if (key === 'resize') return page;
  if (key === 'space' || key === 'enter') return page < pages - 1 ? page + 1 : undefined;
  if (key === 'pagedown' || key === 'down') return Math.min(page + 1, pages - 1);
  return key === 'pageup' || key === 'up' ? Math.max(0, page - 1) : undefined;
};

/**
 * Returns the rows below the footer: a note in the place of the prompt, or above it in rows of its own where it is longer
 * than the terminal is wide.
 */
export const promptRows = (prompt: string, place: string, note: string, { columns }: Size): readonly string[] => {
  const one = ` ${place}${note || prompt} `;
  if (one.length < columns) return [one];
  return [...(note ? wrapLine(` ${note}`, columns - 1) : []), ` ${place}${prompt} `.slice(0, columns - 1)];
};

/** Screens on a terminal that can be redrawn. */
const redrawn = (words: ScreenWords, signal: AbortSignal): Screens => {
  /** Draws a page of a view over what is on the screen, and puts the cursor behind its prompt. */
  const drawPage = (view: View, page: number, note: string): number => {
    const size = sizeNow();
    const longest = words.page(99, 99); // a place that is shorter makes no other number of rows
    const below = promptRows(words.prompt, longest, note, size).length - 1;
    const room = { ...size, rows: size.rows - below };
    const pages = pagesOf(view, room).length;
    const place = pages > 1 ? `${words.page(Math.min(page, pages - 1) + 1, pages)}  ` : '';
    const rows = draw(view, room, Math.min(page, pages - 1)).map(painted);
    const last = promptRows(words.prompt, place, note, size);
    process.stdout.write(`\x1b[H\x1b[J${[...rows, ...last].join('\n')}`);
    return pages;
  };

  const showPages = async (view: View, first: string): Promise<string | undefined> => {
    await dropKeys(signal);
    scrollAway(sizeNow());
    for (let page = 0, note = first; ; ) {
      const pages = drawPage(view, page, note);
      const key = await readKey(signal);
      if (key === undefined) return undefined;
      const other = turned(key, Math.min(page, pages - 1), pages);
      const choice = other === undefined ? choiceOf(view.footer, key) : undefined;
      if (choice) return choice.key;
      page = other ?? page;
      note = other === undefined ? words.unknownKey(key) : '';
    }
  };
  return {
    async show(view, note = '') {
      const key = await showPages(view, note);
      process.stdout.write('\n');
      return key;
    },
    async read(title, body) {
      const footer = [
        { key: 'space', name: words.spaceKey, does: words.more },
        { key: 'q', does: words.close },
      ];
      await showPages({ left: title, right: '', body, footer }, '');
      process.stdout.write('\n');
    },
    ask: (prompt) => ask(prompt, signal, true),
  };
};

/** Screens as lines, each key with Enter. */
const typed = (words: ScreenWords, signal: AbortSignal): Screens => {
  const print = (view: View): void => {
    const size = { rows: Number.MAX_SAFE_INTEGER, columns: sizeNow().columns };
    const body = pagesOf(view, size).flat();
    const footer = view.footer
      .filter(({ hidden }) => !hidden)
      .map(({ key, name = key, does }) => `  ${key === 'space' ? words.enterKey : name}  ${does}`);
    process.stdout.write(
      `\n${view.left}  ${view.right}\n\n${[...body.map(({ text }) => text), '', ...footer].join('\n')}\n`,
    );
  };
  return {
    async show(view, note) {
      print(view);
      for (let said = note; ; ) {
        if (said) process.stdout.write(`${said}\n`);
        const line = await ask(words.typedPrompt, signal);
        if (line === undefined) return undefined;
        const key = line.trim().toLowerCase();
        const choice = choiceOf(view.footer, key === '' ? 'space' : key);
        if (choice) return choice.key;
        said = words.unknownKey(key);
      }
    },
    async read(title, body) {
      print({ left: title, right: '', body, footer: [] });
      await Promise.resolve();
    },
    ask: (prompt) => ask(prompt, signal),
  };
};

/** Chooses how screens are shown: `plain` asks for lines, as does a terminal that cannot move its cursor. */
export const openScreens = (words: ScreenWords, signal: AbortSignal, plain: boolean): Screens =>
  plain || process.env['TERM'] === 'dumb' ? typed(words, signal) : redrawn(words, signal);
