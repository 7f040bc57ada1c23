import { expect, test } from 'vitest';
import { skippedPauses } from '../../bin/teach/session.ts';
import { stepIds, stepsWith } from '../../steps/index.ts';
import { plainLab } from '../fixtures.ts';

const steps = stepsWith(plainLab);
/** A lab that was brought up to this step. */
const stateAt = (last: string) => {
  const ids = steps.map(({ id }) => id);
  const done = ids.slice(0, ids.indexOf(last) + 1);
  const record = { fingerprint: 'f', at: '2026-01-01T00:00:00.000Z', seconds: 1 };
  return { version: 1, lab: plainLab, steps: Object.fromEntries(done.map((id) => [id, record])) } as const;
};
const said = (last: string | undefined, ...pauses: readonly string[]): string =>
  skippedPauses({ language: 'en', pauses: new Set(pauses) }, steps, last === undefined ? undefined : stateAt(last));

test('a pause that the lab has left behind is said in one line, with how to get back to before it', () => {
  const line = said('smoke', 'network', 'kubelet', 'smoke');
  expect(line).toMatch(/^no pause after kubelet, network: smoke is there already.*\n$/);
  expect(line).toContain('hardway reset --to containerd, or hardway back');
  expect(line).toContain('hardway up --pause=kubelet,network');
  expect(said('etcd', 'preflight')).toContain('hardway reset, or hardway back');
});

test('nothing is said of pauses that will come, and none is missed where none was named', () => {
  expect(said(undefined, 'kubelet')).toBe('');
  expect(said('kubelet', 'kubelet', 'network')).toBe('');
  expect(said('kubelet', ...stepIds)).toBe('');
});
