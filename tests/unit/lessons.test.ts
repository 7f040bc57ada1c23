import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { guideHeading, headings, parseLesson, readLesson } from '../../bin/teach/lesson.ts';
import { readFlagConsequences } from '../../bin/teach/pages.ts';
import { fieldsOf } from '../../lib/engine/daemon.ts';
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

  test.each(languages)('in %s fits a terminal of 80 columns, commands aside', async (language) => {
    const text = await readFile(join(folder, language, `${id}.md`), 'utf8');
    const prose = text.replaceAll(/^```sh\n.*?^```/gms, '');
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

test('the glossary has the same words in both languages, none of them a step', async () => {
  const [en, fr] = await Promise.all(languages.map((language) => yaml(`${language}/words.yaml`)));
  expect(Object.keys(fr ?? {})).toEqual(Object.keys(en ?? {}));
  expect(Object.keys(en ?? {}).filter((word) => stepIds.includes(word))).toEqual([]);
});

/** Every lab that a flag, a setting or a certificate can depend on. */
const labs = [plainLab, oddLab].flatMap((lab) =>
  pkiProfiles.flatMap((pki) => supervisorNames.map((supervisor) => ({ ...lab, pki, supervisor }))),
);
const daemons = labs.flatMap((lab) => stepsWith(lab).flatMap(({ daemon }) => (daemon ? [daemon] : [])));
const sorted = (names: Iterable<string>): readonly string[] => [...new Set(names)].toSorted();

test('the reason of every flag and of every certificate is said in French too, and nothing else', async () => {
  const requests = (await Promise.all(labs.map(requestsFor))).flat();
  const said = [...daemons.flatMap(({ flags }) => flags), ...requests].map(({ why }) => why);
  expect(sorted(Object.keys(await yaml('fr/whys.yaml')))).toEqual(sorted(said));
});

describe.each(languages)('what would be without a flag or a setting, in %s,', (language) => {
  test.each(components)('is said of each that %s has in any lab, and of no other', async (component) => {
    const { [component]: losses = {} } = await readFlagConsequences(language);
    const own = daemons.filter(({ name }) => name === component);
    const set = own.flatMap(({ flags, config }) => [...flags, ...fieldsOf(config)].map(({ name }) => name));
    expect(sorted(Object.keys(losses))).toEqual(sorted(set));
    for (const [name, loss] of Object.entries(losses)) {
      expect(loss, name).toMatch(/^\S.{10,}[^.\s]$/);
      expect(loss.length, name).toBeLessThan(160);
    }
  });

  test('is said of components only', async () => {
    expect(sorted(Object.keys(await readFlagConsequences(language)))).toEqual(sorted(components));
  });
});

test('a block of commands becomes commands and what each shows', () => {
  const { trials, questions } = parseLesson(
    '# t: x\n\n## What to try\n\n```sh\na | b\n#> one\n#> two\nc\n```\n\n## Three questions\n\n### Why?\n\nSo.\nAnd so.\n',
  );
  expect(trials).toEqual([
    { command: 'a | b', expected: ['one', 'two'] },
    { command: 'c', expected: [] },
  ]);
  expect(questions).toEqual([{ question: 'Why?', answer: 'So.\nAnd so.' }]);
});
