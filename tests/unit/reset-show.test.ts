import { afterEach, expect, test, vi } from 'vitest';
import { openShow } from '../../bin/reset/show.ts';
import { stages } from '../../bin/reset/stages.ts';

const written = vi.spyOn(process.stdout, 'write').mockImplementation(() => true);
afterEach(() => written.mockClear());
const lines = (): readonly string[] =>
  written.mock.calls
    .map(([text]) => String(text))
    .join('')
    .split('\n')
    .slice(0, -1);

test('a dry run shows every stage with its reason, within eighty columns', () => {
  const show = openShow({ dryRun: true });
  for (const { name, why } of stages) {
    show.beginStage(name, why);
    show.endStage();
  }
  const shown = lines();
  for (const line of shown) expect(line.length, line).toBeLessThanOrEqual(80);
  const text = shown.join(' ').replaceAll(/\s+/g, ' ');
  for (const { name, why } of stages) expect(text).toContain(`${name} (${why}) nothing to take back here`);
});

test('a stage of a dry run that could not look does not say that there is nothing', () => {
  const show = openShow({ dryRun: true });
  show.beginStage('links removed', 'a reason');
  show.tell({ event: 'failed', what: 'links removed', reason: 'ip is missing' });
  show.endStage();
  expect(lines()).toEqual(['  links removed', '    (a reason)', '  NOT DONE: links removed: ip is missing']);
});

test('a reset that is no dry run has a line for each stage that did something, and JSON no line but events', () => {
  const show = openShow({});
  for (const name of ['links removed', 'routes removed']) {
    show.beginStage(name, 'a reason');
    if (name === 'links removed') show.tell({ event: 'undo', group: name, what: 'cni0' });
    show.endStage();
  }
  show.sum();
  expect(lines()).toEqual(['  links removed                    cni0']);
  const json = openShow({ json: true, dryRun: true });
  json.beginStage('links removed', 'a reason');
  json.endStage();
  expect(lines()).toHaveLength(1);
});
