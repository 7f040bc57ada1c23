/** How a line is shown on a terminal with colours. Nothing is said by colour alone. */
export type Tone = 'strong' | 'dim' | 'good' | 'bad';

/** A line of a screen: a label in the left column, and its text. */
export interface Line {
  readonly label?: string;
  readonly text: string;
  readonly tone?: Tone;
  /** True for a line that begins at the left edge though others have a label, as output does. */
  readonly wide?: true;
  /** True for a line that is cut where the terminal ends, instead of going on in the next row. */
  readonly cut?: true;
}

/** Lines that stay on one page, unless they fill more than one. */
export type Block = readonly Line[];

/** A key of the footer, and what it does. */
export interface Choice {
  readonly key: string;
  /** Name of the key, where it is no letter. */
  readonly name?: string;
  readonly does: string;
  /** True for a key that another one's name stands for, as in 1-3. */
  readonly hidden?: true;
}

/** A screen: a title, a body that may have several pages, and a footer that is always there. */
export interface View {
  readonly left: string;
  readonly right: string;
  readonly body: readonly Block[];
  /** Labels stand in a column of their own. */
  readonly labelled?: true;
  readonly footer: readonly Choice[];
}

/** Rows and columns of a terminal. */
export interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** Columns of the labels. */
const labelWidth = 12;
/** Columns below which labels stand above their text. */
const narrow = 60;
/** Least columns of a choice in the footer. */
const choiceWidth = 26;

/** Spaces at which a line of French may not break: before a mark of two parts, and inside of guillemets. */
const together = / (?=[?!:;»](?: |$))|(?<=«) /g;
const unbreakable = '\u00a0';

/**
 * Breaks one line of text at spaces, and a word that is longer than the line where the line ends. Keeps the indent, and a
 * mark with the word before it, as French is set.
 */
export const wrapLine = (text: string, columns: number): readonly string[] => {
  const indent = /^ */.exec(text)?.[0] ?? '';
  const width = Math.max(1, columns - indent.length);
  const lines: string[] = [];
  let line = '';
  for (let word of text.slice(indent.length).replaceAll(together, unbreakable).split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    for (; word.length > width; word = word.slice(width)) lines.push(word.slice(0, width));
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((one) => `${indent}${one.replaceAll(unbreakable, ' ')}`);
};

/** A row of a screen, at most as wide as the terminal; `label` is what its text begins with. */
export interface Row {
  readonly text: string;
  readonly label?: string;
  readonly tone?: Tone;
}

const rowsOf = (line: Line, { columns }: Size, labelled: boolean): readonly Row[] => {
  const tone = line.tone && { tone: line.tone };
  const inside = labelled && columns >= narrow && !line.wide;
  const indent = inside ? labelWidth : 1;
  const width = columns - indent;
  const isCut = line.cut && line.text.length > width;
  const texts = (isCut ? [`${line.text.slice(0, width - 1)}…`] : wrapLine(line.text, width)).map((text) =>
    `${' '.repeat(indent)}${text}`.trimEnd(),
  );
  if (line.label === undefined) return texts.map((text) => ({ text, ...tone }));
  const label = ` ${line.label}`;
  if (!inside || label.length >= labelWidth)
    return [{ text: label, label }, ...texts.map((text) => ({ text, ...tone }))];
  const [first = '', ...rest] = texts;
  return [
    { text: `${label.padEnd(labelWidth)}${first.slice(labelWidth)}`.trimEnd(), label, ...tone },
    ...rest.map((text) => ({ text, ...tone })),
  ];
};

const titleRows = ({ left, right }: View, { columns }: Size): readonly Row[] => {
  const room = columns - 2 - right.length;
  const title = left.length < room ? ` ${left.padEnd(room)}${right}` : ` ${left.slice(0, columns - 1)}`;
  return [
    { text: title.trimEnd(), tone: 'strong' },
    { text: '─'.repeat(columns), tone: 'dim' },
  ];
};

const choiceText = ({ key, name = key, does }: Choice): string => ` ${name.padEnd(2)} ${does}`;

const footerRows = ({ footer }: View, { columns }: Size): readonly Row[] => {
  const choices = footer.filter(({ hidden }) => !hidden);
  const across = Math.max(1, Math.floor(columns / choiceWidth));
  const width = Math.floor(columns / across);
  const down = Math.ceil(choices.length / across);
  const rows = Array.from({ length: down }, (_, row) =>
    choices
      .filter((__, index) => index % down === row)
      .map((choice) =>
        choiceText(choice)
          .slice(0, width - 1)
          .padEnd(width),
      )
      .join('')
      .trimEnd(),
  );
  return [{ text: '─'.repeat(columns), tone: 'dim' }, ...rows.map((text) => ({ text }))];
};

/** A screen as rows, without the body and the line of the prompt. */
const frameOf = (view: View, size: Size) => {
  const head = titleRows(view, size);
  const footer = footerRows(view, size);
  return { head, footer, height: Math.max(3, size.rows - head.length - footer.length - 1) };
};

/**
 * Divides blocks into pages of at most `height` rows. An empty row divides two blocks of a page, but where all of them fit
 * on one page only without.
 */
const paged = (blocks: readonly (readonly Row[])[], height: number): readonly (readonly Row[])[] => {
  const rows = blocks.flat();
  if (rows.length <= height && rows.length + blocks.length - 1 > height) return [rows];
  const pages: Row[][] = [];
  let page: Row[] = [];
  const turn = (): void => {
    if (page.length > 0) pages.push(page);
    page = [];
  };
  for (const block of blocks) {
    if (page.length > 0 && page.length + 1 + block.length > height) turn();
    if (page.length > 0) page.push({ text: '' });
    for (const row of block) {
      if (page.length === height) turn();
      page.push(row);
    }
  }
  turn();
  return pages.length > 0 ? pages : [[]];
};

/** Returns the pages of a view's body on a terminal of this size, as rows. Never empty. */
export const pagesOf = (view: View, size: Size): readonly (readonly Row[])[] =>
  paged(
    view.body.map((block) => block.flatMap((line) => rowsOf(line, size, view.labelled ?? false))),
    frameOf(view, size).height,
  );

/**
 * Lays out one page of a view: title, body, footer; together one row less than the terminal has, where the prompt
 * stands. A terminal that is too low for all of it gets more rows than it has: its end is what one sees.
 */
export const draw = (view: View, size: Size, page = 0): readonly Row[] => {
  const { head, footer, height } = frameOf(view, size);
  const body = pagesOf(view, size)[page] ?? [];
  const empty = Array.from({ length: Math.max(0, height - body.length) }, () => ({ text: '' }));
  return [...head, ...body, ...empty, ...footer];
};
