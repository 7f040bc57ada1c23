import { type Daemon, type Field, type Flag, fieldsOf } from '../../lib/engine/daemon.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { readLedger } from '../../lib/engine/ledger.ts';
import type { LabStep } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import { formatDeed } from '../../lib/host/change.ts';
import { paths } from '../../lib/host/paths.ts';
import { type Lesson, readLesson } from './lesson.ts';
import { noteOn } from './notes.ts';
import { words } from './words.ts';

/** Columns of the narrowest terminal that is supported. */
const columns = 80;

/** Breaks a text into lines of at most 80 columns, each after `indent` spaces. */
export const wrapped = (text: string, indent: number): string => {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && indent + line.length + 1 + word.length > columns) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return [...lines, line].map((one) => `${' '.repeat(indent)}${one}`).join('\n');
};

/** Joins both parts on one line, or puts the second below the first where the line would be too long. */
const fitted = (head: string, tail: string): string =>
  `  ${head}${tail}`.length > columns ? `  ${head}\n    ${tail}` : `  ${head}${tail}`;

const flagText = ({ name, value }: Flag): string => (value === undefined ? `  --${name}` : fitted(`--${name}=`, value));

/** Returns the command of a daemon, one flag a line, with the notes on it below. */
export const commandPage = (daemon: Daemon, notes: (flag: Flag) => readonly string[]): string =>
  [
    daemon.binary,
    ...daemon.flags.flatMap((flag) => [flagText(flag), ...notes(flag).map((note) => wrapped(note, 6))]),
  ].join('\n');

const fieldText = ({ name, value }: Field): string => {
  const last = name.lastIndexOf('.') + 1;
  return fitted(name.slice(0, last), `${name.slice(last)}: ${value}`);
};

/** Returns the fields of a daemon's configuration file, one a line, with the notes on it below. */
export const configPage = (daemon: Daemon, notes: (field: Field) => readonly string[]): string =>
  fieldsOf(daemon.config)
    .flatMap((field) => [fieldText(field), ...notes(field).map((note) => wrapped(note, 6))])
    .join('\n');

/** Returns a lesson without its answers, which have a page of their own. */
export const lessonPage = ({ title, sections }: Lesson): string =>
  [
    `# ${title}`,
    ...sections.map(({ heading, text, questions }) =>
      questions.length > 0
        ? `## ${heading}\n${questions.map(({ question }) => wrapped(question, 2)).join('\n')}`
        : `## ${heading}\n${text}`,
    ),
  ].join('\n\n');

/** Most changes of a step that are listed. */
const shownFiles = 14;

/** Lists the files and other changes of a step, from the ledger. */
const filesPage = async (step: string, more: (count: number) => string): Promise<string> => {
  const changes = (await readLedger(paths.ledger)).filter((entry) => entry.step === step);
  const lines = [
    ...new Set(
      changes.map(({ do: deed, undo }) => ('path' in deed && undo.kind !== 'restore' ? deed.path : formatDeed(deed))),
    ),
  ];
  const left = lines.length - shownFiles;
  return [...lines.slice(0, shownFiles), ...(left > 0 ? [more(left)] : [])].map((line) => `  ${line}`).join('\n');
};

/** Returns what is shown of a step before its observations: lesson, command, files. */
export const stepPage = async (
  step: LabStep,
  { pki }: Pick<Lab, 'pki'>,
  language: Language,
  place: { number: number; total: number },
): Promise<string> => {
  const { stepOf, run, files, more } = words[language];
  const [lesson, made] = await Promise.all([readLesson(step.id, language), filesPage(step.id, more)]);
  const reasons = ({ name }: Flag): readonly string[] => {
    const { reason } = noteOn(lesson.notes, `--${name}`, { pki });
    return reason ? [reason] : [];
  };
  const rule = '='.repeat(columns);
  return [
    `${rule}\n${stepOf(step.id, place.number, place.total)}\n${rule}`,
    lessonPage(lesson),
    ...(step.daemon ? [`## ${run}\n${commandPage(step.daemon, reasons)}`] : []),
    ...(made === '' ? [] : [`## ${files}\n${made}`]),
  ].join('\n\n');
};
