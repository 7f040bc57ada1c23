import { styleText } from 'node:util';
import { ask, dropKeys, readKey } from './keyboard.ts';
import { type Block, type Choice, draw, pagesOf, type Row, type Size, type Tone, type View } from './layout.ts';

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

const next = ['space', 'enter', 'pagedown', 'down'];
const previous = ['pageup', 'up'];

/** A key as a view names it: Space for the space bar. */
const keyOf = (view: View, typed: string): Choice | undefined =>
  view.footer.find(({ key }) => key === typed || (key === 'space' && typed === 'enter'));

/** Returns the page that a key leads to; undefined for a key that turns none. */
const turned = (key: string, page: number, pages: number): number | undefined => {
  if (key === 'resize') return page;
  if (next.includes(key)) return page < pages - 1 ? page + 1 : undefined;
  return previous.includes(key) ? Math.max(0, page - 1) : undefined;
};

/** Screens on a terminal that can be redrawn. */
const redrawn = (words: ScreenWords, signal: AbortSignal): Screens => {
  /** Draws a page of a view over what is on the screen, and puts the cursor behind its prompt. */
  const drawPage = (view: View, page: number, note: string): number => {
    const size = sizeNow();
    const pages = pagesOf(view, size).length;
    const place = pages > 1 ? `${words.page(Math.min(page, pages - 1) + 1, pages)}  ` : '';
    const prompt = ` ${place}${note || words.prompt} `.slice(0, size.columns - 1);
    const rows = draw(view, size, Math.min(page, pages - 1));
    process.stdout.write(`\x1b[H\x1b[J${rows.map(painted).join('\n')}\n${prompt}`);
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
      const choice = other === undefined ? keyOf(view, key) : undefined;
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
    ask: (prompt) => ask(prompt, signal),
  };
};

/** Screens as lines, each key with Enter. */
const typed = (words: ScreenWords, signal: AbortSignal): Screens => {
  const print = (view: View): void => {
    const size = { rows: Number.MAX_SAFE_INTEGER, columns: sizeNow().columns };
    const body = pagesOf(view, size).flat();
    const footer = view.footer
      .filter(({ hidden }) => !hidden)
      .map(({ key, does }) => `  ${key === 'space' ? words.enterKey : key}  ${does}`);
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
        const choice = keyOf(view, key === '' ? 'space' : key);
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
