import { describe, expect, test } from 'vitest';
import { observeStep } from '../../bin/teach/observe.ts';
import { reasonOf } from '../../lib/engine/errors.ts';
import type { RunEvent } from '../../lib/engine/events.ts';
import { cnis } from '../../lib/engine/lab.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import type { LabStep } from '../../lib/engine/step.ts';
import { type Language, languageOf } from '../../lib/engine/text.ts';
import { extras, stepsWith } from '../../steps/index.ts';
import { all, atLeast, lines, says } from '../../steps/observe.ts';
import { oddLab, plainLab } from '../fixtures.ts';

const context = readOnlyContext(plainLab, []);
/** Goes through a step's observations; what was told and what was kept, in their order. */
const observed = async (step: LabStep, language: Language) => {
  const events: RunEvent[] = [];
  const kept: string[] = [];
  const told = observeStep(step, context, {
    language,
    tell: (event) => void events.push(event),
    keep: async ({ command }, output) => void kept.push(`${command}: ${output}`),
  });
  return { events, kept, reason: await told.then(() => '', reasonOf) };
};
const stepWith = (...outcomes: readonly (string | Error)[]): LabStep => ({
  id: 'etcd',
  title: 'etcd',
  apply: async () => {},
  checks: [],
  observations: outcomes.map((outcome, index) => ({
    id: `look ${index}`,
    phrase: { en: `tale ${index}`, fr: `conte ${index}` },
    command: `look ${index}`,
    look: async () => {
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
  })),
});

describe('the observations of a step', () => {
  test('are told in the language asked for, with command and output, and then the step is observed', async () => {
    const { events } = await observed(stepWith('out'), 'fr');
    expect(events).toEqual([
      { event: 'observation', step: 'etcd', phrase: 'conte 0', command: 'look 0', output: 'out' },
      { event: 'step', step: 'etcd', state: 'observed', seconds: expect.any(Number) },
    ]);
  });

  test('end at the first that is not so, with what was seen instead', async () => {
    const { events, reason } = await observed(stepWith('a', new Error('two Pods'), 'c'), 'en');
    expect(reason).toMatch(/"tale 1".*\n\$ look 1\nseen instead: two Pods/);
    expect(events).toHaveLength(1);
  });

  test('are kept with their output where they are so, and only there', async () => {
    const { kept } = await observed(stepWith('a', 'b', new Error('two Pods'), 'd'), 'fr');
    expect(kept).toEqual(['look 0: a', 'look 1: b']);
  });

  test('can be told from each other by their ids, in every step of every lab', () => {
    for (const { id, observations } of [plainLab, oddLab].flatMap((lab) => stepsWith(lab))) {
      const ids = observations.map((observation) => observation.id);
      expect(ids, id).toEqual([...new Set(ids)]);
    }
  });

  test('are there for every step that is of the cluster, each phrase in both languages', () => {
    const silent = ['preflight', 'binaries', 'certificates', 'kubeconfigs'];
    for (const { id, observations } of cnis.flatMap((cni) => stepsWith({ ...plainLab, cni, with: extras }))) {
      if (!silent.includes(id)) expect(observations.length, id).toBeGreaterThan(0);
      for (const { phrase } of observations) expect(phrase.fr).not.toBe(phrase.en);
    }
  });
});

describe('a judge', () => {
  const output = 'web-1 Running\nweb-2 Pending\n';
  test('counts lines', () => {
    lines(2, /^web-/)(output);
    atLeast(1, /Running/)(output);
    expect(() => lines(2, /Running/)(output)).toThrow('1 lines match');
    expect(() => atLeast(2, /Running/)(output)).toThrow('only 1');
  });
  test('wants words, and all that others want', () => {
    all(says('web-1'), says('Pending'))(output, context);
    expect(() => all(says('web-1'), says('web-3'))(output, context)).toThrow('it does not say "web-3"');
  });
});

test('the language is the one asked for, else that of the locale, else English', () => {
  expect(languageOf('fr', {})).toBe('fr');
  expect(languageOf(undefined, { LANG: 'fr_FR.UTF-8' })).toBe('fr');
  expect(languageOf(undefined, { HARDWAY_LANG: 'fr', LC_ALL: 'C.UTF-8' })).toBe('fr');
  expect(languageOf(undefined, { LC_ALL: 'C', LANG: 'fr_FR.UTF-8' })).toBe('en');
  expect(languageOf(undefined, { LANG: 'de_DE.UTF-8' })).toBe('en');
  expect(() => languageOf('de', {})).toThrow('there is no language "de"');
});

test('no observation names a domain but that of its lab', () => {
  const commands = stepsWith({ ...plainLab, domain: 'lab.example' }).flatMap(({ observations }) =>
    observations.map(({ command }) => command),
  );
  expect(commands.filter((command) => command.includes('cluster.local'))).toEqual([]);
  expect(commands.filter((command) => command.includes('.svc.lab.example'))).not.toEqual([]);
});
