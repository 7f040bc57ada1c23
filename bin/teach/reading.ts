import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import type { Context, LabStep } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import { explainWord } from './explain.ts';
import { labels } from './labels.ts';
import { type Lesson, readLesson } from './lesson.ts';
import { noteOn } from './notes.ts';
import { commandPage, configPage } from './pages.ts';
import type { Block } from './screen/layout.ts';
import type { Screens } from './screen/show.ts';
import { mapBlocks, type Observed, type Place, type Seen } from './views.ts';
import { words } from './words.ts';

/** A step at which a run pauses. */
export interface Pause {
  readonly step: LabStep;
  /** Steps of the lab; `done` are those up to this one. */
  readonly steps: readonly LabStep[];
  readonly done: readonly LabStep[];
  readonly place: Place;
  /** True if the demo objects should exist. */
  readonly demo: boolean;
  readonly context: Context;
  readonly language: Language;
  readonly screens: Screens;
}

/** Begins a line that goes on where the one before ended: neither a heading, an item, a table, code nor an indent. */
const goesOn = /^(?![#|>\s]|```|[-*] |\d+\. )/;

/**
 * Joins the lines of each paragraph and of each item of a list, which the terminal breaks where it ends; code stays as it
 * is.
 */
export const joined = (text: string): readonly string[] => {
  const lines: string[] = [];
  let code = false;
  for (const line of text.split('\n')) {
    const last = lines.at(-1) ?? '';
    const isItem = /^([-*]|\d+\.) /.test(last);
    const continues = isItem ? /^ {2,3}\S/.test(line) : goesOn.test(last) && goesOn.test(line);
    if (!code && last !== '' && line !== '' && continues) lines[lines.length - 1] = `${last} ${line.trim()}`;
    else lines.push(line);
    if (line.startsWith('```')) code = !code;
  }
  return lines;
};

/** Turns a text into blocks: what an empty line divides stays together. */
export const blocksOf = (text: string): readonly Block[] =>
  joined(text)
    .join('\n')
    .split(/\n{2,}/)
    .map((part) =>
      part.split('\n').map((line) => ({ text: line, ...(line.startsWith('#') && { tone: 'strong' as const }) })),
    );

/** Shows every step, and how many of them are done. */
export const showMap = async ({ steps, place, language, screens }: Pause, done: number): Promise<void> => {
  const told = await Promise.all(steps.map(async ({ id }) => ({ id, title: (await readLesson(id, language)).title })));
  await screens.read(`hardway ${done}/${place.total}`, mapBlocks(told, done));
};

/** Asks for a word, and explains it. */
export const explain = async ({ context, language, screens }: Pause): Promise<void> => {
  const word = (await screens.ask(words[language].whichWord))?.trim();
  if (word) await screens.read(word, blocksOf(await explainWord(word, context, language)));
};

/** Shows the questions of a lesson one after the other, each with its answer after a key. */
export const askQuestions = async ({ step, language, screens }: Pause, { questions }: Lesson): Promise<void> => {
  const label = labels[language];
  const footer = (does: string) => [
    { key: 'space', name: label.spaceKey, does },
    { key: 'q', does: label.close },
  ];
  for (const { question, answer } of questions) {
    const asked = { left: step.id, right: '', body: [[{ text: question, tone: 'strong' as const }]] };
    if ((await screens.show({ ...asked, footer: footer(label.showAnswer) })) !== 'space') return;
    const answered = { ...asked, body: [...asked.body, ...blocksOf(answer)] };
    if ((await screens.show({ ...answered, footer: footer(label.nextQuestion) })) !== 'space') return;
  }
};

/** Shows each flag and each field of a daemon with its reason, those of the guide first. */
export const showFlags = async ({ step, context, language, screens }: Pause, { notes }: Lesson): Promise<string> => {
  const { daemon } = step;
  if (!daemon) return labels[language].noFlags;
  const notesOn = (name: string): readonly string[] => {
    const { reason, consequence } = noteOn(notes, name, context.lab);
    return [...(reason ? [reason] : []), ...(consequence ? [words[language].without(consequence)] : [])];
  };
  const isGuides = ({ name }: { readonly name: string }) => step.teaching?.guideFlags?.includes(name) ?? true;
  const flags = [...daemon.flags.filter(isGuides), ...daemon.flags.filter((flag) => !isGuides(flag))];
  const body = flags.flatMap((flag) =>
    blocksOf(commandPage({ ...daemon, flags: [flag] }, ({ name }) => notesOn(`--${name}`)).replace(/^.*\n/, '')),
  );
  const config = daemon.config ? blocksOf(configPage(daemon, ({ name }) => notesOn(name))) : [];
  await screens.read(`${step.id}`, [...body, ...config]);
  return '';
};

/** Shows the commands of a step with what they printed. */
export const showSeen = (
  { step, screens }: Pause,
  before: readonly Seen[],
  observed: readonly Observed[],
): Promise<void> => {
  const blockOf = ({ command, output }: Seen, phrase?: string): Block => [
    ...(phrase === undefined ? [] : [{ text: phrase, tone: 'strong' as const }]),
    { text: `  $ ${command}`, tone: 'dim' },
    ...output
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => ({ text: `  ${line}` })),
  ];
  return screens.read(step.id, [
    ...before.map((one) => blockOf(one)),
    ...observed.map((one) => blockOf(one, one.phrase)),
  ]);
};

/** Shows the last lines of a daemon's log. */
export const showLog = async ({ step, context, language, screens }: Pause): Promise<string> => {
  if (!step.daemon) return labels[language].noLog;
  const lines = await supervisorOf(context.lab).lastLog(step.daemon.name, 40);
  await screens.read(
    step.daemon.name,
    lines.map((text) => [{ text }]),
  );
  return '';
};
