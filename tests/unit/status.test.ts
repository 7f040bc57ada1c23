import { expect, test } from 'vitest';
import { statusLine, verdict } from '../../bin/up/status.ts';
import { components } from '../../steps/index.ts';

const running = { process: 'active (running)', since: '2026-11-26T02:48:25.000Z' };

test.each(components)('the line of %s fits eighty columns, healthy or not', (step) => {
  for (const state of ['healthy', 'unhealthy', 'unknown'] as const)
    expect(statusLine({ step, state, ...running }).length).toBeLessThanOrEqual(80);
});

test('a line says the step, its health, its process and since when it runs; below it the reason', () => {
  expect(statusLine({ step: 'etcd', state: 'unhealthy', reason: 'is away', ...running })).toBe(
    'etcd                    NOT HEALTHY active (running) since 2026-11-26 02:48 UTC\n  is away',
  );
  expect(statusLine({ step: 'smoke', state: 'not applied' })).toBe('smoke                   not applied yet');
});

test('a lab that stands at a step is told apart from a broken one, with what comes next', () => {
  const healthy = { step: 'etcd', state: 'healthy' } as const;
  const later = { step: 'kube-apiserver', state: 'not applied' } as const;
  const standing = verdict([healthy, later]);
  expect(standing.message).toBe('1 of 2 steps are taken, all of them healthy');
  expect(standing.next).toContain('hardway next takes kube-apiserver');
  const broken = verdict([{ step: 'etcd', state: 'unhealthy' }, later]);
  expect([broken.message, broken.next]).toEqual([
    '2 of 2 steps are not healthy',
    expect.stringContaining('hardway up repairs'),
  ]);
});
