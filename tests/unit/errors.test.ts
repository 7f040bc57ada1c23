import { expect, test } from 'vitest';
import { reasonOf, Unhealthy, UserError } from '../../lib/engine/errors.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';

test('what is allowed is returned', () => {
  expect(parseChoice('step', ['etcd', 'kubelet'], 'etcd')).toBe('etcd');
});

test.each([
  ['kubelt', 'kubelet'],
  ['ETCD', 'etcd'],
  ['', 'etcd'],
])('what is not allowed, %j, is refused with its value, the nearest one and all of them', (value, nearest) => {
  const ask = () => parseChoice('step', ['etcd', 'kubelet'], value);
  expect(ask).toThrow(`there is no step ${JSON.stringify(value)}; did you mean ${nearest}?`);
  expect(ask).toThrow(expect.objectContaining({ name: 'UserError', next: 'one of: etcd, kubelet' }));
});

test('an Unhealthy holds the last log lines and what to type next, where there are any', () => {
  expect(new Unhealthy('it died', { log: ['a', 'b'], next: 'hardway up' })).toMatchObject({
    message: 'it died',
    log: ['a', 'b'],
    next: 'hardway up',
  });
  expect(new Unhealthy('it died')).toMatchObject({ log: [], next: undefined });
});

test.each([
  [new UserError('no such thing', 'hardway up'), 'no such thing'],
  [new Error('refused'), 'refused'],
  ['words', 'words'],
  [undefined, 'undefined'],
])('the reason of anything thrown is its message', (thrown, reason) => {
  expect(reasonOf(thrown)).toBe(reason);
});
