import { expect, test } from 'vitest';
import { createTally } from '../../../lib/binaries/progress.ts';

const MB = 1e6;
const file = (kind: 'programs' | 'images', name: string, total: number, bytes = 0) =>
  ({ kind, name, state: 'downloading', bytes: bytes * MB, total: total * MB }) as const;

test('what comes is added up, with its speed and the time that is left', () => {
  const tally = createTally();
  expect(tally({ kind: 'programs', name: 'kubectl', state: 'announced' }, 0)).toBe('programs: 0 MB');
  tally(file('programs', 'etcd', 100), 0);
  tally({ kind: 'programs', name: 'kubectl', state: 'announced', total: 100 * MB }, 0);
  expect(tally(file('programs', 'etcd', 100, 60), 2000)).toBe('programs: 60 of 200 MB, 30 MB/s, 5 s left');
  expect(tally(file('images', 'pause', 1000, 0), 2000)).toBe(
    'programs: 60 of 200 MB, images: 0 MB of 1.0 GB, 30 MB/s, 38 s left',
  );
});

test('what an earlier run has left counts as there, and not for the speed', () => {
  const tally = createTally();
  tally({ ...file('programs', 'etcd', 100, 50), left: 50 * MB }, 0);
  expect(tally({ ...file('programs', 'etcd', 100, 60), left: 50 * MB }, 1000)).toBe(
    'programs: 60 of 100 MB, 10 MB/s, 4 s left',
  );
});

test('the speed is that of the last seconds', () => {
  const tally = createTally();
  for (const second of [0, 1, 2, 3, 4, 5]) tally(file('programs', 'etcd', 1000, second * 100), second * 1000);
  for (const second of [6, 7, 8, 9]) tally(file('programs', 'etcd', 1000, 500 + second), second * 1000);
  expect(tally(file('programs', 'etcd', 1000, 510), 12_000)).toMatch(/^programs: 510 MB of 1.0 GB, \d MB\/s, /);
});

test('a file that waits says why behind the sum, until its next bytes', () => {
  const tally = createTally();
  tally(file('programs', 'etcd', 100, 50), 0);
  const words = 'github.com answered 429; again in 10 s (3 of 7)';
  expect(tally({ kind: 'programs', name: 'etcd', state: 'waiting', words }, 0)).toBe(
    `programs: 50 of 100 MB; ${words}`,
  );
  expect(tally(file('programs', 'etcd', 100, 60), 100)).toBe('programs: 60 of 100 MB');
});

test('a kind of which all has come is not named any more', () => {
  const tally = createTally();
  tally(file('programs', 'etcd', 100, 100), 0);
  tally(file('images', 'pause', 10, 5), 0);
  expect(tally({ kind: 'programs', name: 'etcd', state: 'done' }, 0)).toBe('images: 5 of 10 MB');
  expect(tally({ kind: 'images', name: 'pause', state: 'done' }, 0)).toBe('done pause');
});

test('a build says which of all it is', () => {
  expect(createTally()({ kind: 'programs', name: 'kubelet', state: 'building', words: '3 of 22' })).toBe(
    'building kubelet: 3 of 22',
  );
});
