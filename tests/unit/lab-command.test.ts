import { expect, test } from 'vitest';
import { chosenSteps } from '../../bin/lab.ts';
import { stepsWith } from '../../steps/index.ts';
import { plainLab } from '../fixtures.ts';

const steps = stepsWith(plainLab);
const record = { fingerprint: 'f', at: '2026-01-01T00:00:00.000Z', seconds: 1 };
const chosen = (applied: readonly string[], id?: string) =>
  chosenSteps(steps, Object.fromEntries(applied.map((one) => [one, record])), id).map((step) => step.id);

test('a command looks at the steps that were applied, or at the one that was named', () => {
  expect(chosen(['preflight', 'etcd'])).toEqual(['preflight', 'etcd']);
  expect(chosen(['preflight', 'etcd'], 'etcd')).toEqual(['etcd']);
  expect(chosen(['preflight'], 'etcd')).toEqual(['etcd']);
});

test('a command that would look at nothing is refused: an extra that the lab has not, a lab without a step', () => {
  expect(() => chosen(['preflight'], 'ingress')).toThrow('this lab has no step ingress');
  expect(() => chosen([])).toThrow('no step of this lab was applied yet');
});
