import type { Daemon } from '../../lib/engine/daemon.ts';
import type { LabStep, Task } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import type { Brief } from './brief.ts';
import { type Labels, labels } from './labels.ts';
import type { StepLesson } from './lesson.ts';
import { wrapped } from './pages.ts';
import type { LearnerRecord } from './record.ts';
import type { Block, Choice, Line, View } from './screen/layout.ts';

/** Where a step stands among the steps of the lab. */
export interface Place {
  /** From 1 on. */
  readonly number: number;
  readonly total: number;
}

/** A command that was run, and its output. */
export interface Seen {
  readonly command: string;
  readonly output: string;
}

/** An observation that was made: what it says, and its output; `wrong` says what was seen instead. */
export interface Observed extends Seen {
  readonly phrase: string;
  readonly notYet?: true;
  readonly wrong?: string;
}

/** Most lines of an output on the screen before a step. */
const shownLines = 4;

const titleOf = (id: string, { number, total }: Place, done: number): string =>
  `hardway ${number}/${total}  ${'■'.repeat(done)}${'□'.repeat(total - done)}  ${id}`;

/** Matches what a program logs beside its answer: klog's lines and those of JSON. */
const logged = /^([EIWF]\d{4} |\{"level":)/;

/** Returns the lines of an output without the shell's own name, and without what was logged beside an answer. */
const outputLines = (output: string): readonly string[] => {
  const lines = output
    .split('\n')
    .map((line) => line.replace(/^sh: \d+: /, ''))
    .filter((line) => line.trim() !== '');
  const answer = lines.filter((line) => !logged.test(line));
  return answer.length > 0 ? answer : lines;
};

/** A command and the last lines of its output: the last words of a command that failed say why. */
const shown = ({ command, output }: Seen): readonly Line[] => [
  { text: `  $ ${command}`, tone: 'dim', wide: true },
  ...outputLines(output)
    .slice(-shownLines)
    .map((line) => ({ text: `  ${line}`, wide: true as const, cut: true as const })),
];

/** Returns what a line of a log says, without its time and place. */
const messageOf = (line: string): string =>
  line
    .replace(/^\{.*?"msg":"([^"]*)".*$/, '$1')
    .replace(/^[EIWF]\d{4} [^\]]*\] /, '')
    .replace(/^time="[^"]*" level=\w+ msg=/, '');

const keysOfAll = ({ lesson, map, stop, word }: Labels): readonly Choice[] => [
  { key: 'l', does: lesson },
  { key: 'm', does: word },
  { key: 'p', does: map },
  { key: 'x', does: stop },
];

/** The screen before a step: what does not work, why, and a question to guess at. */
export const beforeView = (
  id: string,
  { why, missing, guess }: Brief,
  failing: readonly Seen[],
  place: Place,
  language: Language,
): View => {
  const words = labels[language];
  const failures: Block =
    failing.length > 0 ? [{ text: words.doesNotWork, tone: 'strong', wide: true }, ...failing.flatMap(shown)] : [];
  const question: Block = [
    { label: words.yourGuess, text: guess.question },
    ...guess.options.map((option, index) => ({ text: `${index + 1}  ${option}` })),
  ];
  return {
    left: titleOf(id, place, place.number - 1),
    right: words.notStarted,
    labelled: true,
    body: [
      ...(failures.length > 0 ? [failures] : []),
      [
        { label: words.why, text: why },
        { label: words.missing, text: missing },
      ],
      question,
    ],
    footer: [
      { key: '1', name: '1-3', does: words.answer },
      ...['2', '3'].map((key) => ({ key, does: '', hidden: true as const })),
      { key: 'space', name: words.spaceKey, does: words.startWithoutGuess },
      ...keysOfAll(words),
    ],
  };
};

/** Returns the line on the command of a daemon: how many of its flags are the guide's. */
const startedLine = (daemon: Daemon, guideFlags: readonly string[], words: Labels): Line => {
  const guide = daemon.flags.filter(({ name }) => guideFlags.includes(name)).length;
  return { label: words.started, text: `${daemon.name}, ${words.guideFlags(guide, daemon.flags.length - guide)}` };
};

const guessLine = (words: Labels, { guess }: Brief, chosen: number | undefined): readonly Line[] => {
  if (chosen === undefined) return [];
  const isRight = chosen === guess.right;
  const right = guess.options[guess.right - 1] ?? '';
  const text = isRight ? words.guessedRight(guess.because) : words.guessedWrong(right, guess.because);
  return [{ label: words.yourGuess, text, tone: isRight ? 'good' : 'bad' }];
};

/** Lines below one label, which stands at the first of them. */
const labelledLines = (label: string, lines: readonly Line[]): readonly Line[] =>
  lines.map((line, index) => (index === 0 ? { label, ...line } : line));

const truths = (words: Labels, observed: readonly Observed[]): readonly Line[] => {
  const lineOf = ({ phrase, wrong }: Observed, sign: string, tone: 'good' | 'bad'): Line =>
    wrong === undefined ? { text: `${sign} ${phrase}`, tone } : { text: `? ${phrase}: ${wrong}`, tone: 'bad' };
  return [
    ...labelledLines(
      words.now,
      observed.filter(({ notYet }) => !notYet).map((one) => lineOf(one, '✓', 'good')),
    ),
    ...labelledLines(
      words.notYet,
      observed.filter(({ notYet }) => notYet).map((one) => lineOf(one, '✗', 'bad')),
    ),
  ];
};

/** What the screen after a step shows. */
export interface After {
  readonly step: LabStep;
  readonly lesson: StepLesson;
  readonly place: Place;
  readonly before: readonly Seen[];
  readonly observed: readonly Observed[];
  /** The line of its daemon's log that says that it has started. */
  readonly logLine?: string;
  readonly record: LearnerRecord;
  /** What is not as it was. */
  readonly problems: readonly string[];
}

/** Tells whether a learner has done a task. */
export const isDone = (record: LearnerRecord, step: string, { id }: Task): boolean =>
  record.done[step]?.includes(id) ?? false;

const turnLines = ({ step, record }: After, words: Labels, language: Language): readonly Line[] =>
  labelledLines(
    words.yourTurn,
    (step.teaching?.tasks ?? []).map((task) => ({
      text: `[${isDone(record, step.id, task) ? '✓' : ' '}] ${task.text[language]}`,
    })),
  );

/** The screen after a step: what it does, what is true now and what not yet, a task, a question. */
export const afterView = (after: After, language: Language): View => {
  const { step, lesson, place, before, observed, logLine, record, problems } = after;
  const { brief, questions } = lesson;
  const words = labels[language];
  const [first] = before;
  const wasSo = first && `$ ${first.command}: ${outputLines(first.output).at(-1) ?? ''}`;
  const question = questions[0]?.question;
  const blocks: readonly Block[] = [
    problems.length > 0
      ? [
          { text: words.broken, tone: 'bad', wide: true },
          ...problems.map((text) => ({ text: `  ${text}`, wide: true as const })),
        ]
      : [],
    [
      { label: words.does, text: brief.does },
      ...(step.daemon ? [startedLine(step.daemon, step.teaching?.guideFlags ?? [], words)] : []),
      ...(brief.talksTo ? [{ label: words.talksTo, text: brief.talksTo }] : []),
    ],
    [
      ...(wasSo ? [{ label: words.before, text: wasSo, tone: 'dim' as const, cut: true as const }] : []),
      ...truths(words, observed),
      ...(logLine ? [{ label: words.log, text: messageOf(logLine), tone: 'dim' as const, cut: true as const }] : []),
      ...guessLine(words, brief, record.guesses[step.id]),
    ],
    [...turnLines(after, words, language), ...(question ? [{ label: words.question, text: question }] : [])],
  ];
  return {
    left: titleOf(step.id, place, place.number),
    right: '',
    labelled: true,
    body: blocks.filter((block) => block.length > 0),
    footer: [
      {
        key: 'space',
        name: words.spaceKey,
        does: place.number < place.total ? words.goOn(place.number + 1) : words.finish,
      },
      { key: 's', does: words.shell },
      { key: 't', does: words.typeAnswer },
      { key: 'r', does: words.answers },
      { key: 'v', does: words.seen },
      { key: 'o', does: words.flags },
      { key: 'j', does: words.logKey },
      { key: 'a', does: words.repair },
      ...keysOfAll(words),
    ],
  };
};

/** The map: every step with what its lesson calls it, and a mark at those that are done. */
export const mapBlocks = (
  steps: readonly { readonly id: string; readonly title: string }[],
  done: number,
): readonly Block[] => [
  steps.map(({ title }, index) => ({
    text: `${index < done ? '■' : '□'} ${String(index + 1).padStart(2)}  ${title}`,
  })),
];

/** The first screen: what comes, how long it takes, how to leave. */
export const welcomeView = (total: number, language: Language): View => {
  const words = labels[language];
  return {
    left: `hardway  ${'□'.repeat(total)}`,
    right: '',
    body: words.welcome.map((text) => [{ text }]),
    footer: [
      { key: 'space', name: words.spaceKey, does: words.begin },
      { key: 'p', does: words.map },
      { key: 'x', does: words.stop },
    ],
  };
};

/** The last lines of a lesson: what was built, the guesses and the tasks, what comes next. */
export const farewell = (
  steps: readonly LabStep[],
  briefs: Readonly<Record<string, Brief>>,
  { guesses, done }: LearnerRecord,
  language: Language,
): readonly string[] => {
  const words = labels[language];
  const right = Object.entries(guesses).filter(([id, chosen]) => briefs[id]?.guess.right === chosen).length;
  const tasks = steps.flatMap(({ teaching }) => teaching?.tasks ?? []).length;
  const ticked = Object.values(done).flat().length;
  return [
    wrapped(words.built(steps.length), 0),
    words.score(right, Object.keys(guesses).length, ticked, tasks),
    ...words.whatNext,
  ];
};
