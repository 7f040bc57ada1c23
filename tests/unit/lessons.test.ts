import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  guideHeading,
  headings,
  parseLesson,
  parseStepLesson,
  readLesson,
  readTopic,
  topics,
} from '../../bin/teach/lesson.ts';
import { noteOn, parseNotes } from '../../bin/teach/notes.ts';
import { fieldsOf } from '../../lib/engine/daemon.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { pkiProfiles, supervisorNames } from '../../lib/engine/lab.ts';
import { languages } from '../../lib/engine/text.ts';
import { requestsFor } from '../../steps/certificates.ts';
import { components, stepIds, stepsWith } from '../../steps/index.ts';
import { oddLab, plainLab } from '../fixtures.ts';

const folder = join(import.meta.dirname, '../../lessons');
const yaml = async (file: string): Promise<Record<string, string>> => parse(await readFile(join(folder, file), 'utf8'));

test.each(languages)('every step has a lesson in %s, and there is no other', async (language) => {
  const files = (await readdir(join(folder, language))).filter((file) => file.endsWith('.md'));
  expect(files.toSorted()).toEqual(stepIds.map((id) => `${id}.md`).toSorted());
});

/** The steps that the guide's PKI makes different. */
const withGuide = ['certificates', 'kubeconfigs'];

describe.each(stepIds)('the lesson of %s', (id) => {
  test.each(languages)(
    'in %s has the headings of every lesson, each with text, and three questions',
    async (language) => {
      const { title, sections, questions } = await readLesson(id, language);
      expect(title).toMatch(new RegExp(`^${id} ?: `));
      const expected: string[] = [...headings[language]];
      if (withGuide.includes(id)) expected.splice(-1, 0, guideHeading[language]);
      expect(sections.map(({ heading }) => heading)).toEqual(expected);
      expect(sections.filter(({ text }) => text.length < 40)).toEqual([]);
      expect(questions).toHaveLength(3);
      for (const { question, answer } of questions) {
        expect(question).toMatch(/\?$/);
        expect(answer.length).toBeGreaterThan(40);
      }
    },
  );

  test.each(languages)(
    'in %s says in short what the step does, and asks a question of which one answer is right',
    async (language) => {
      const { brief } = await readLesson(id, language);
      for (const text of [brief.does, brief.why, brief.missing, brief.guess.because])
        expect(text.length).toBeGreaterThan(8);
      expect(brief.guess.question).toMatch(/\?$/);
      expect(new Set(brief.guess.options).size).toBe(3);
      expect(brief.guess.options[brief.guess.right - 1]).toBeDefined();
    },
  );

  test('asks the same question in both languages', async () => {
    const [en, fr] = await Promise.all(languages.map(async (language) => (await readLesson(id, language)).brief));
    expect(fr?.guess.right).toBe(en?.guess.right);
    expect(fr?.talksTo === undefined).toBe(en?.talksTo === undefined);
  });

  test.each(languages)('in %s fits a terminal of 80 columns, commands aside', async (language) => {
    const text = await readFile(join(folder, language, `${id}.md`), 'utf8');
    const prose = text.replaceAll(/^```sh\n.*?^```/gms, '').replaceAll(/^- `\S+`\.$/gm, ''); // a field's whole path
    expect(prose.split('\n').filter((line) => line.length > 80 && !line.startsWith('### '))).toEqual([]);
  });

  test('tells to type the same commands in both languages, each with what it shows', async () => {
    const [en, fr] = await Promise.all(languages.map((language) => readLesson(id, language)));
    expect(fr?.trials).toEqual(en?.trials);
    expect(fr?.guideTrials).toEqual(en?.guideTrials);
    expect(en?.trials.length).toBeGreaterThan(0);
    expect(en?.guideTrials.length !== 0).toBe(withGuide.includes(id));
    for (const { expected } of [...(en?.trials ?? []), ...(en?.guideTrials ?? [])])
      expect(expected.length).toBeGreaterThan(0);
  });
});

describe.each(topics)('the lesson about %s', (topic) => {
  test.each(languages)(
    'in %s fits a terminal of 80 columns, commands aside, and asks three questions',
    async (language) => {
      const text = await readFile(join(folder, language, 'topics', `${topic}.md`), 'utf8');
      const prose = text.replaceAll(/^```sh\n.*?^```/gms, '');
      expect(prose.split('\n').filter((line) => line.length > 80 && !line.startsWith('### '))).toEqual([]);
      const { questions } = await readTopic(topic, language);
      expect(questions.map(({ question }) => question)).toEqual(Array(3).fill(expect.stringMatching(/\?$/)));
    },
  );

  test('tells to type the same commands in both languages, each with what it shows', async () => {
    const [en, fr] = await Promise.all(languages.map((language) => readTopic(topic, language)));
    expect(fr?.trials).toEqual(en?.trials);
    expect(en?.trials.length).toBeGreaterThan(0);
    for (const { expected } of en?.trials ?? []) expect(expected.length).toBeGreaterThan(0);
  });
});

test('the glossary has the same words in both languages, none of them a step', async () => {
  const [en, fr] = await Promise.all(languages.map((language) => yaml(`${language}/glossary.yaml`)));
  expect(Object.keys(fr ?? {})).toEqual(Object.keys(en ?? {}));
  expect(Object.keys(en ?? {}).filter((word) => stepIds.includes(word))).toEqual([]);
});

/** Every lab that a flag, a setting or a certificate can depend on. */
const labs = [plainLab, oddLab].flatMap((lab) =>
  pkiProfiles.flatMap((pki) => supervisorNames.map((supervisor) => ({ ...lab, pki, supervisor }))),
);
const daemons = labs.flatMap((lab) => stepsWith(lab).flatMap(({ daemon }) => (daemon ? [daemon] : [])));
const sorted = (names: Iterable<string>): readonly string[] => [...new Set(names)].toSorted();

describe.each(languages)('the lessons in %s', (language) => {
  test.each(components)(
    'say of each flag and each field that %s has in any lab why it is set or what would be without it, and of no other',
    async (id) => {
      const own = daemons.filter(({ name }) => name === id);
      const flags = own.flatMap((daemon) => daemon.flags.map(({ name }) => `--${name}`));
      const fields = own.flatMap(({ config }) => fieldsOf(config).map(({ name }) => name));
      const { notes } = await readLesson(id, language);
      expect(sorted(notes.map(({ name }) => name))).toEqual(sorted([...flags, ...fields]));
      for (const { name, profile, reason, consequence } of notes) {
        if (name.startsWith('--')) expect(reason, name).toMatch(/\w{2}/);
        if (profile) continue;
        expect(consequence, name).toMatch(/^\S.{10,}[^.\s]$/);
        expect(consequence?.length, name).toBeLessThan(160);
      }
    },
  );

  test('say of each certificate of a profile what it is for, and of no other', async () => {
    const { notes } = await readLesson('certificates', language);
    for (const pki of pkiProfiles)
      for (const { name } of await requestsFor({ ...plainLab, pki }))
        expect(noteOn(notes, name, { pki }).reason, name).toMatch(/\w{2}/);
    const requests = await Promise.all(pkiProfiles.map((pki) => requestsFor({ ...plainLab, pki })));
    expect(sorted(notes.map(({ name }) => name))).toEqual(sorted(requests.flat().map(({ name }) => name)));
  });
});

test('what differs with the PKI profile is said of the same flags and certificates in both languages', async () => {
  for (const id of stepIds) {
    const [en, fr] = await Promise.all(languages.map(async (language) => (await readLesson(id, language)).notes));
    const keys = (notes: typeof en) => notes?.map(({ name, profile }) => [name, profile]);
    expect(keys(fr)).toEqual(keys(en));
  }
});

describe('a note', () => {
  const notesIn = (text: string) => parseNotes(text, 'en', 'x.md');

  test('is a name, a reason and a consequence, over several lines, and may hold for one PKI profile', () => {
    const notes = notesIn(
      '- `--a`: one: two.\n  Three. Without it: it ends,\n  "no a".\n- `--a` (guide): another.\n- `b.c`. Without it: nothing.',
    );
    expect(notes).toEqual([
      { name: '--a', reason: 'one: two. Three', consequence: 'it ends, "no a"' },
      { name: '--a', profile: 'guide', reason: 'another' },
      { name: 'b.c', consequence: 'nothing' },
    ]);
    expect(noteOn(notes, '--a', { pki: 'guide' })).toMatchObject({ reason: 'another', consequence: 'it ends, "no a"' });
    expect(noteOn(notes, '--a', { pki: 'components' })).toMatchObject({ reason: 'one: two. Three' });
    expect(noteOn(notes, '--z', { pki: 'guide' })).toEqual({});
  });

  test.each([
    ['text outside an item', 'some words', '"some words" is neither an item'],
    ['a name without backquotes', '- --a: one.', 'is not of the form'],
    ['no full stop', '- `--a`: one', 'is not of the form'],
    ['no full stop after the consequence', '- `--a`: one. Without it: two', 'is not of the form'],
    ['two consequences', '- `--a`: one. Without it: two. Without it: three.', 'is not of the form'],
    ['an unknown profile', '- `--a` (giude): one.', 'names no PKI profile; there are components, guide'],
    ['nothing to say', '- `--a`.', 'says nothing'],
    ['a name that has a note already', '- `--a`: one.\n- `--a`: two.', 'is there twice'],
  ])('with %s is refused with the file and the line', (_, text, problem) => {
    expect(() => notesIn(text)).toThrow(UserError);
    expect(() => notesIn(text)).toThrow(/^x\.md: /);
    expect(() => notesIn(text)).toThrow(problem);
  });
});

const short = '## In short\n\n- Does: this\n  and that\n';
const before =
  '## Before it starts\n\n- Why: nobody\n- Missing: who\n\n### Who is `it`?\n\n1. one\n2. two\n   lines\n3. three\n\n> 2: because\n> of it\n';

test('a block of commands becomes commands and what each shows', () => {
  const { trials, questions } = parseLesson(
    `# t: x\n\n## What to try\n\n\`\`\`sh\na | b\n#> one\n#> two\nc\n\`\`\`\n\n## Three questions\n\n### Why?\n\nSo.\nAnd so.\n`,
    'en',
    't.md',
  );
  expect(trials).toEqual([
    { command: 'a | b', expected: ['one', 'two'] },
    { command: 'c', expected: [] },
  ]);
  expect(questions).toEqual([{ question: 'Why?', answer: 'So.\nAnd so.' }]);
});

describe('what a lesson says in short', () => {
  const parsed = (text: string) => parseStepLesson(`# t: x\n\n${text}`, 'en', 't.md');

  test('is read over several lines, without the marks of code', () => {
    const { brief, sections } = parsed(`${short}\n${before}`);
    expect(brief).toEqual({
      does: 'this and that',
      why: 'nobody',
      missing: 'who',
      guess: { question: 'Who is it?', options: ['one', 'two lines', 'three'], right: 2, because: 'because of it' },
    });
    expect(sections).toEqual([]);
  });

  test.each([
    ['without what is missing', `${short}\n${before.replace('- Missing: who\n', '')}`, 'is missing'],
    ['with two options', `${short}\n${before.replace('3. three\n', '')}`, 'needs three options'],
    ['with an answer that is no option', `${short}\n${before.replace('> 2:', '> 4:')}`, 'needs three options'],
    ['without an answer', `${short}\n${before.replace(/> .*/s, '')}`, 'needs three options'],
  ])('is refused %s, with the file', (_, text, problem) => {
    expect(() => parsed(text)).toThrow(UserError);
    expect(() => parsed(text)).toThrow(/^t\.md: /);
    expect(() => parsed(text)).toThrow(problem);
  });
});
