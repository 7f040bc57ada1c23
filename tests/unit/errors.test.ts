import { expect, test } from 'vitest';
import { ApiError, Bug, isBug, reasonOf, sentenceOf, Unhealthy, UserError } from '../../lib/engine/errors.ts';
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

test.each([new Bug('x'), new TypeError('x'), new ReferenceError('x'), new RangeError('x')])(
  '%o is the fault of the program',
  (thrown) => expect(isBug(thrown)).toBe(true),
);

test.each([
  new Error('x'),
  new SyntaxError('of an answer'),
  new ApiError(500, 'x'),
  new UserError('x'),
  new Unhealthy('x'),
  'x',
  undefined,
])('%o is not the fault of the program', (thrown) => expect(isBug(thrown)).toBe(false));

const ofKernel = (code: string, more: object) =>
  Object.assign(new Error(`${code}: as libuv says it`), { code, ...more });

test.each([
  [ofKernel('ENOENT', { path: '/etc/x' }), '/etc/x is missing'],
  [ofKernel('EROFS', { path: '/etc/x' }), '/etc/x is on a file system that is mounted read-only'],
  [
    ofKernel('EPERM', { path: '/etc/x.hardway-67', dest: '/etc/x' }),
    '/etc/x may not be changed, not even by root: lsattr shows whether it is immutable',
  ],
  [ofKernel('ELOOP', { path: '/x.hardway-67' }), '/x is a link that leads to itself, or passes through too many links'],
  [ofKernel('ENOSPC', { path: '/var/x' }), '/var/x is on a disk that is full'],
  [ofKernel('ECONNREFUSED', { address: '127.0.0.1', port: 6443 }), '127.0.0.1:6443 is not listened to by any process'],
  [ofKernel('EBUSY', { path: '/mnt' }), 'EBUSY: as libuv says it'],
  [ofKernel('ENOSPC', {}), 'ENOSPC: as libuv says it'],
  [new ApiError(403, 'pods is forbidden'), 'the API server answered 403: pods is forbidden'],
  [new Error('refused'), 'refused'],
  [undefined, 'undefined'],
])('what went wrong is a sentence', (thrown, sentence) => {
  expect(sentenceOf(thrown)).toBe(sentence);
});
