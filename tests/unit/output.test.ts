import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { asJson, asLines, type Show } from '../../bin/up/show.ts';
import type { RunEvent } from '../../lib/engine/events.ts';
import type { LabStep } from '../../lib/engine/step.ts';

const step = (id: string): LabStep => ({ id, title: id, apply: async () => {}, checks: [], observations: [] });

let written: string;
beforeEach(() => {
  written = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Shows a run of one step that tells these events; a number lets that many milliseconds pass. */
const shown = async (show: Show, events: readonly (RunEvent | number)[]): Promise<string> => {
  vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
  await show([step('etcd')], (tell) => async () => {
    for (const event of events) {
      if (typeof event === 'number') vi.advanceTimersByTime(event);
      else tell(event);
    }
  });
  return written;
};

const started: RunEvent = { event: 'step', step: 'etcd', state: 'started' };
const waiting: RunEvent = { event: 'waiting', step: 'etcd', check: 'answers', reason: 'refused\nsecond line' };
const progress: RunEvent = { event: 'progress', step: 'etcd', text: 'building etcd' };
const change: RunEvent = { event: 'change', step: 'etcd', what: 'write /x' };
const healthy: RunEvent = { event: 'step', step: 'etcd', state: 'healthy', seconds: 0.314 };

describe('as lines', () => {
  const lines = asLines({ dryRun: false });

  test('a step that got healthy is one line with its time', async () => {
    expect(await shown(lines, [started, change, waiting, progress, healthy])).toBe(
      'etcd                       healthy  0.31 s\n',
    );
  });

  test.each<[RunEvent, string]>([
    [{ event: 'step', step: 'kube-controller-manager', state: 'skipped' }, 'kube-controller-manager    skipped\n'],
    [{ event: 'step', step: 'etcd', state: 'failed', seconds: 240.04 }, 'etcd                       failed   240 s\n'],
    [{ event: 'step', step: 'etcd', state: 'healthy', seconds: 0 }, 'etcd                       healthy  0.00 s\n'],
  ])('%j', async (event, line) => {
    expect(await shown(lines, [event])).toBe(line);
  });

  test('what lasts is told every fifteen seconds, in one line with its seconds', async () => {
    expect(await shown(lines, [started, 15_000, waiting, 14_000, progress, 17_000, healthy, 60_000])).toBe(
      [
        'etcd                       15 s',
        'etcd                       30 s     building etcd',
        'etcd                       45 s     building etcd',
        'etcd                       healthy  0.31 s',
        '',
      ].join('\n'),
    );
  });

  test('a dry run shows each step and below it the changes', async () => {
    expect(await shown(asLines({ dryRun: true }), [started, change, healthy])).toBe('etcd\n  write /x\n');
  });
});

test('as JSON every event is an object in a line of its own, as it is', async () => {
  const events = [started, waiting, change, healthy];
  const text = await shown(asJson, events);
  expect(text.endsWith('\n')).toBe(true);
  expect(
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual(events);
});

test.each<[string, Show]>([
  ['lines', asLines({ dryRun: false })],
  ['JSON', asJson],
])('as %s the steps come one after the other, and none after one that failed', async (_, show) => {
  const did: string[] = [];
  const run = show(['one', 'two', 'three'].map(step), () => async ({ id }) => {
    did.push(id);
    await Promise.resolve();
    if (id === 'two') throw new Error('dead');
    did.push(`${id} done`);
  });
  await expect(run).rejects.toThrow('dead');
  expect(did).toEqual(['one', 'one done', 'two']);
});
