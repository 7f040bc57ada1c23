import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Port } from '../../lib/engine/step.ts';
import { everyStep } from '../../steps/index.ts';

const project = join(import.meta.dirname, '../..');
const page = await readFile(join(project, 'docs/security.md'), 'utf8');

const addresses: Readonly<Record<Port['at'], string>> = { everywhere: '*', node: 'NODE', loopback: '127.0.0.1' };

test('the table of sockets has each port of a component at its address, and no other port', () => {
  const rows = [...page.matchAll(/^\| `(\*|NODE|127\.0\.0\.1):(\d+)` +\| (\S+) /gm)].map(
    ([, address, port, program]) => `${address}:${port} ${program}`,
  );
  const ports = everyStep.flatMap(({ id, ports = [] }) =>
    ports.map(({ number, at }) => `${addresses[at]}:${number} ${id}`),
  );
  expect(rows.toSorted()).toEqual(ports.toSorted());
});

test('the page of the project on how to report a hole leads to it, and it leads there', async () => {
  expect(await readFile(join(project, 'SECURITY.md'), 'utf8')).toContain('(docs/security.md)');
  expect(page).toContain('(../SECURITY.md)');
});
