import { describe, expect, test } from 'vitest';
import { readLesson } from '../../bin/teach/lesson.ts';
import { draw, pagesOf, type Size, type View, wrapLine } from '../../bin/teach/screen/layout.ts';
import { afterView, beforeView, mapBlocks, welcomeView } from '../../bin/teach/views.ts';
import { languages } from '../../lib/engine/text.ts';
import { stepsWith } from '../../steps/index.ts';
import { plainLab } from '../fixtures.ts';

const steps = stepsWith(plainLab);
const sizes: readonly Size[] = [
  { rows: 24, columns: 80 },
  { rows: 24, columns: 40 },
  { rows: 50, columns: 132 },
];
const place = (id: string) => ({ number: steps.findIndex((step) => step.id === id) + 1, total: steps.length });

/** What each step would have shown before it, with an output of several lines. */
const failing = (id: string) =>
  (steps.find((step) => step.id === id)?.teaching?.before ?? []).map(({ command }) => ({
    command,
    output: 'E1126 15:00:00.000000 1 memcache.go:265] noise\nThe connection to the server was refused',
  }));

const before = async (id: string, language: (typeof languages)[number]): Promise<View> =>
  beforeView(id, (await readLesson(id, language)).brief, failing(id), place(id), language);

/** The screen after a step as a learner sees it who guessed right and has done the first task. */
const after = async (id: string, language: (typeof languages)[number]): Promise<View> => {
  const step = steps.find((one) => one.id === id);
  if (!step) throw new Error(`there is no step ${id}`);
  const lesson = await readLesson(id, language);
  const [task] = step.teaching?.tasks ?? [];
  return afterView(
    {
      step,
      lesson,
      place: place(id),
      before: failing(id),
      observed: step.observations.map(({ phrase, command, notYet }) => ({
        phrase: phrase[language],
        command,
        output: 'as said',
        ...(notYet && { notYet }),
      })),
      logLine: 'I1126 15:00:00.000000 467 secure_serving.go:214] Serving securely on 127.0.0.1:10259',
      record: { guesses: { [id]: lesson.brief.guess.right }, done: task ? { [id]: [task.id] } : {} },
      problems: [],
    },
    language,
  );
};

const textOf = (view: View, size: Size): string =>
  pagesOf(view, size)
    .map((_, page) =>
      draw(view, size, page)
        .map(({ text }) => text)
        .join('\n'),
    )
    .join('\n\n');

describe.each(languages)('in %s', (language) => {
  test.each(steps.map(({ id }) => id))('both screens of %s fit each terminal, with all keys in sight', async (id) => {
    for (const view of [await before(id, language), await after(id, language)])
      for (const size of sizes)
        for (const [page] of pagesOf(view, size).entries()) {
          const rows = draw(view, size, page).map(({ text }) => text);
          expect(rows.filter((text) => text.length > size.columns)).toEqual([]);
          if (size.columns >= 80) expect(rows.length).toBeLessThan(size.rows);
          for (const { does, hidden } of view.footer)
            if (!hidden) expect(rows.join('\n'), `${id}: ${does}`).toContain(does);
        }
  });

  test('a whole cluster takes at most thirty screens at 80 by 24', async () => {
    const [size] = sizes;
    if (!size) throw new Error('there is no size');
    const counts = await Promise.all(
      steps
        .flatMap(({ id }) => [before(id, language), after(id, language)])
        .map(async (view) => pagesOf(await view, size).length),
    );
    console.log(language, counts.join(' '));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(30);
  });

  test('the screens of the scheduler, the first one and the map are as they were drawn', async () => {
    const size = { rows: 24, columns: 80 };
    const titles = await Promise.all(
      steps.map(async ({ id }) => ({ id, title: (await readLesson(id, language)).title })),
    );
    const map: View = { left: 'hardway', right: '', body: mapBlocks(titles, 7), footer: [{ key: 'q', does: '.' }] };
    const views = [
      welcomeView(steps.length, language),
      map,
      await before('kube-scheduler', language),
      await after('kube-scheduler', language),
    ];
    await expect(views.map((view) => textOf(view, size)).join('\n\n')).toMatchFileSnapshot(`screens/${language}.txt`);
  });
});

test('what is wrong after a step stands first on its screen, with what repairs it', async () => {
  const step = steps.find(({ id }) => id === 'etcd');
  if (!step) throw new Error('there is no etcd');
  const lesson = await readLesson('etcd', 'en');
  const record = { guesses: { etcd: 3 }, done: {} };
  const view = afterView(
    { step, lesson, place: place('etcd'), before: [], observed: [], record, problems: ['etcd: answers: ECONNREFUSED'] },
    'en',
  );
  const text = textOf(view, { rows: 24, columns: 80 });
  expect(text).toMatch(/no longer as it was[^\n]*\n +etcd: answers: ECONNREFUSED/);
  expect(text).toContain('✗ it is "nothing"');
  expect(text).toContain('[ ] Write a key /hello');
});

test('a line breaks at spaces, a long word where the line ends, and keeps its indent', () => {
  expect(wrapLine('  one two three', 9)).toEqual(['  one two', '  three']);
  expect(wrapLine('abcdefgh', 3)).toEqual(['abc', 'def', 'gh']);
  expect(wrapLine('', 10)).toEqual(['']);
  expect(wrapLine('est-ce « oui » ?', 12)).toEqual(['est-ce', '« oui » ?']);
});

test('a block is not broken over two pages, unless it is longer than one', () => {
  const block = (name: string, count: number) =>
    Array.from({ length: count }, (_, index) => ({ text: `${name}${index}` }));
  const view: View = {
    left: 't',
    right: '',
    footer: [{ key: 'q', does: 'close' }],
    body: [block('a', 12), block('b', 12), block('c', 40)],
  };
  const pages = pagesOf(view, { rows: 24, columns: 80 }).map((rows) => rows.map(({ text }) => text.trim()));
  expect(pages[0]).toEqual(block('a', 12).map(({ text }) => text));
  expect(pages[1]?.[0]).toBe('b0');
  expect(pages.flat().filter((text) => text !== '')).toHaveLength(64);
});
