import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const project = join(import.meta.dirname, '../..');
const rooms = /^(?:bin|exercises|steps|lib|certs-templates|lessons|manifests|tests|docs|bench)\/[\w./-]*$/;

/** The paths of this project that a page names, in its sentences and its pictures. */
const pathsOf = (page: string): readonly string[] => {
  const words = readFileSync(join(project, page), 'utf8').match(/[\w./-]+/g) ?? [];
  return [...new Set(words.map((word) => word.replace(/\.$/, '')).filter((word) => rooms.test(word)))];
};

// A name in capitals stands for one that the reader chooses.
const isExample = (path: string): boolean => /[A-Z]{2}/.test(path);

test.each(['docs/architecture.md', 'CONTRIBUTING.md'])('every path that %s names exists', (page) => {
  const paths = pathsOf(page).filter((path) => !isExample(path));
  expect(paths.length).toBeGreaterThan(4);
  expect(paths.filter((path) => !existsSync(join(project, path)))).toEqual([]);
});

test('docs/architecture.md shows every room of bin/ and lib/', () => {
  const paths = pathsOf('docs/architecture.md');
  const house = [
    'bin/commands',
    'bin/up',
    'bin/reset',
    'bin/teach',
    'bin/certs',
    'bin/vm',
    'bin/manual',
    'bin/practice',
    'exercises',
    'steps',
  ];
  const lib = ['pki', 'binaries', 'daemons', 'cluster', 'vm', 'engine', 'host'].map((room) => `lib/${room}`);
  for (const room of [...house, ...lib]) expect(paths).toContain(`${room}/`);
});
