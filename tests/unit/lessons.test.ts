import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { exampleLab } from '../../bin/lab.ts';
import { languages } from '../../lib/engine/language.ts';
import { headings, parseLesson, readLesson } from '../../lib/engine/lesson.ts';
import { readProfile } from '../../lib/pki/templates.ts';
import { requestsFor } from '../../steps/certificates.ts';
import { stepIds, stepsWith } from '../../steps/index.ts';

const folder = join(import.meta.dirname, '../../lessons');
const yaml = async (file: string): Promise<Record<string, string>> => parse(await readFile(join(folder, file), 'utf8'));

test.each(languages)('every step has a lesson in %s, and there is no other', async (language) => {
  const files = (await readdir(join(folder, language))).filter((file) => file.endsWith('.md'));
  expect(files.toSorted()).toEqual(stepIds.map((id) => `${id}.md`).toSorted());
});

describe.each(stepIds)('the lesson of %s', (id) => {
  test.each(languages)(
    'in %s has the headings of every lesson, each with text, and three questions',
    async (language) => {
      const { title, sections, questions } = await readLesson(id, language);
      expect(title).toMatch(new RegExp(`^${id} ?: `));
      expect(sections.map(({ heading }) => heading)).toEqual(headings[language]);
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
    expect(en?.trials.length).toBeGreaterThan(0);
    for (const { expected } of en?.trials ?? []) expect(expected.length).toBeGreaterThan(0);
  });
});

test('the glossary has the same words in both languages, none of them a step', async () => {
  const [en, fr] = await Promise.all(languages.map((language) => yaml(`${language}/words.yaml`)));
  expect(Object.keys(fr ?? {})).toEqual(Object.keys(en ?? {}));
  expect(Object.keys(en ?? {}).filter((word) => stepIds.includes(word))).toEqual([]);
});

test('the reason of every flag and of every certificate is said in French too', async () => {
  const known = await yaml('fr/whys.yaml');
  const steps = stepsWith({ cni: 'calico', with: ['ingress'] });
  const flags = steps.flatMap(({ daemon }) => daemon?.(exampleLab).flags ?? []);
  const requests = [
    ...(await requestsFor(exampleLab)),
    ...(await readProfile('guide', { node: 'n', address: '10.0.0.1', apiServiceAddress: '10.0.0.2', domain: 'd' })),
  ];
  expect([...flags, ...requests].map(({ why }) => why).filter((why) => !(why in known))).toEqual([]);
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
