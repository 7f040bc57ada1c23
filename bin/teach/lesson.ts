import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Language, Text } from '../../lib/engine/text.ts';
import { type Brief, briefHeadings, parseBrief } from './brief.ts';
import { type Note, noteHeadings, parseNotes } from './notes.ts';

const questionsHeading: Text = { en: 'Three questions', fr: 'Trois questions' };

/**
 * Headings that every lesson has, in their order. Some lessons also have guideHeading, and the headings of notes.ts.
 */
export const headings: Readonly<Record<Language, readonly string[]>> = {
  en: [
    'What it is',
    'Why here',
    'What it talks to, and with which certificate',
    'What would happen without it',
    'What to try',
    questionsHeading.en,
  ],
  fr: [
    'Ce que c’est',
    'Pourquoi ici',
    'À qui il parle, et avec quel certificat',
    'Ce qui arriverait sans lui',
    'À essayer',
    questionsHeading.fr,
  ],
};

/** Heading of the section about the guide's PKI, in lessons where that differs; it stands before the questions. */
export const guideHeading: Text = { en: 'With --pki guide', fr: 'Avec --pki guide' };

/** A command of a lesson, and words that its output must contain. */
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
  /** Questions in the text; only the section of the questions has some. */
  readonly questions: readonly Question[];
}

export interface Lesson {
  readonly title: string;
  /** Every section except those of the notes and of the brief. */
  readonly sections: readonly Section[];
  readonly trials: readonly Trial[];
  /** Commands whose output differs in a lab with the guide's PKI, once its last step is done. */
  readonly guideTrials: readonly Trial[];
  readonly questions: readonly Question[];
  /** Notes on flags, configuration fields and certificates. */
  readonly notes: readonly Note[];
}

/** The lesson of a step. */
export interface StepLesson extends Lesson {
  /** What the two screens of the step say. */
  readonly brief: Brief;
}

/**
 * Marks, in a block of commands, output of the command above it. It is a comment, so that the block can be pasted
 * whole.
 */
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

const partsOf = (markdown: string, language: Language): readonly Section[] =>
  markdown
    .split(/^## /m)
    .slice(1)
    .map((part) => {
      const [heading = '', ...lines] = part.split('\n');
      const text = lines.join('\n').trim();
      return { heading, text, questions: heading === questionsHeading[language] ? questionsIn(text) : [] };
    });

/** Parses a lesson. Throws UserError, with the file's name, for a note that is malformed. */
export const parseLesson = (markdown: string, language: Language, file: string): Lesson => {
  const all = partsOf(markdown, language);
  const isNotes = ({ heading }: Section): boolean => noteHeadings[language].includes(heading);
  const isGuides = ({ heading }: Section): boolean => heading === guideHeading[language];
  const briefs = Object.values(briefHeadings[language]);
  const sections = all.filter((section) => !isNotes(section) && !briefs.includes(section.heading));
  const trialsOf = (some: readonly Section[]): readonly Trial[] => some.flatMap(({ text }) => trialsIn(`${text}\n`));
  return {
    title: /^# (.*)/.exec(markdown)?.[1]?.trim() ?? '',
    sections,
    trials: trialsOf(sections.filter((section) => !isGuides(section))),
    guideTrials: trialsOf(sections.filter(isGuides)),
    questions: sections.flatMap(({ questions }) => questions),
    notes: all.filter(isNotes).flatMap(({ text }) => parseNotes(text, language, file)),
  };
};

/** Parses the lesson of a step. Throws UserError, with the file's name, for what its screens need and is not there. */
export const parseStepLesson = (markdown: string, language: Language, file: string): StepLesson => {
  const { short, before } = briefHeadings[language];
  const all = partsOf(markdown, language);
  const textOf = (wanted: string): string => all.find(({ heading }) => heading === wanted)?.text ?? '';
  return { ...parseLesson(markdown, language, file), brief: parseBrief(textOf(short), textOf(before), file) };
};

/** Lessons about what is done with a lab that is up; each is told by `hardway explain`. */
export const topics = ['renewal', 'rotation'] as const;

const read = (file: string): Promise<string> => readFile(join(import.meta.dirname, '../..', file), 'utf8');

/** Reads the lesson of a step. Throws as parseStepLesson does. */
export const readLesson = async (step: string, language: Language): Promise<StepLesson> => {
  const file = `lessons/${language}/${step}.md`;
  return parseStepLesson(await read(file), language, file);
};

/** Reads the lesson of a topic. Throws as parseLesson does. */
export const readTopic = async (topic: (typeof topics)[number], language: Language): Promise<Lesson> => {
  const file = `lessons/${language}/topics/${topic}.md`;
  return parseLesson(await read(file), language, file);
};
