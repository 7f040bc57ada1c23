import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Language, Text } from '../../lib/engine/text.ts';

/** The parts of every lesson, in their order; a lesson's file has these headings, and perhaps that of the guide. */
export const headings = {
  en: [
    'What it is',
    'Why here',
    'What it talks to, and with which certificate',
    'What would happen without it',
    'What to try',
    'Three questions',
  ],
  fr: [
    'Ce que c’est',
    'Pourquoi ici',
    'À qui il parle, et avec quel certificat',
    'Ce qui arriverait sans lui',
    'À essayer',
    'Trois questions',
  ],
} as const satisfies Record<Language, readonly string[]>;

/** The heading of what a lesson says of the guide's PKI, where it differs: it stands before the questions. */
export const guideHeading: Text = { en: 'With --pki guide', fr: 'Avec --pki guide' };

/** A command that a lesson tells to type, and words that its output has. */
export interface Trial {
  readonly command: string;
  readonly expected: readonly string[];
}

export interface Question {
  readonly question: string;
  readonly answer: string;
}

interface Section {
  readonly heading: string;
  readonly text: string;
}

export interface Lesson {
  readonly title: string;
  readonly sections: readonly Section[];
  readonly trials: readonly Trial[];
  /** What shows something else in a lab with the guide's PKI, once its last step is done. */
  readonly guideTrials: readonly Trial[];
  readonly questions: readonly Question[];
}

/** Marks, in a block of commands, what the command above it prints. A comment, so that the block can be pasted whole. */
const mark = '#> ';

const trialsIn = (text: string): readonly Trial[] => {
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block);
  const trials: { command: string; expected: string[] }[] = [];
  for (const line of blocks.flatMap((block) => block.split('\n'))) {
    if (line.startsWith(mark)) trials.at(-1)?.expected.push(line.slice(mark.length));
    else if (line.trim() !== '') trials.push({ command: line, expected: [] });
  }
  return trials;
};

const questionsIn = (text: string): readonly Question[] =>
  text
    .split(/^### /m)
    .slice(1)
    .map((part) => {
      const [question = '', ...answer] = part.split('\n');
      return { question, answer: answer.join('\n').trim() };
    });

/** The lesson in a markdown text. */
export const parseLesson = (markdown: string): Lesson => {
  const [head = '', ...parts] = markdown.split(/^## /m);
  const sections = parts.map((part) => {
    const [heading = '', ...text] = part.split('\n');
    return { heading, text: text.join('\n').trim() };
  });
  const isGuides = ({ heading }: Section): boolean => Object.values(guideHeading).includes(heading);
  const trialsOf = (some: readonly Section[]): readonly Trial[] => some.flatMap(({ text }) => trialsIn(`${text}\n`));
  return {
    title: head.replace(/^# /, '').trim(),
    sections,
    trials: trialsOf(sections.filter((section) => !isGuides(section))),
    guideTrials: trialsOf(sections.filter(isGuides)),
    questions: questionsIn(sections.at(-1)?.text ?? ''),
  };
};

/** The lesson of a step. */
export const readLesson = async (step: string, language: Language): Promise<Lesson> =>
  parseLesson(await readFile(join(import.meta.dirname, '../../lessons', language, `${step}.md`), 'utf8'));
