import { mkdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { unitFile } from '../../lib/daemons/systemd.ts';
import type { Daemon } from '../../lib/engine/daemon.ts';
import { tryRun } from '../../lib/host/run.ts';
import { stepsWith } from '../../steps/index.ts';
import { oddLab, plainLab, scratchFolder } from '../fixtures.ts';

const found = await tryRun('systemd-analyze', ['--version']);

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeAll(async () => {
  scratch = await scratchFolder();
});
afterAll(() => scratch.remove());
beforeEach(({ skip }) => skip(found.code !== 0, 'systemd-analyze is not here; type: apt-get install systemd'));

/** systemd wants the program of a unit to be there: Node is. */
const here = (daemon: Daemon): Daemon => ({ ...daemon, binary: process.execPath });

/** What systemd has to say of these units. Of the units of this machine, which it reads as well, nothing is told. */
const complaints = async (name: string, units: ReadonlyMap<string, string>): Promise<readonly string[]> => {
  const folder = `${scratch.path}/${name}`;
  await mkdir(folder);
  const files = [...units.keys()].map((unit) => `${folder}/${unit}.service`);
  for (const [unit, text] of units) await writeFile(`${folder}/${unit}.service`, text);
  const { stderr } = await tryRun('systemd-analyze', ['verify', '--man=no', ...files]);
  return stderr.split('\n').filter((line) => files.some((file) => line.includes(file.slice(folder.length + 1))));
};

const daemonsOf = (lab: typeof plainLab): readonly Daemon[] =>
  stepsWith(lab).flatMap(({ daemon }) => (daemon ? [daemon] : []));

test.each([
  ['a plain machine', plainLab],
  ['a machine that needs everything adapted', oddLab],
])('systemd has nothing to say against the units of %s', async (name, lab) => {
  const units = new Map(daemonsOf(lab).map((daemon) => [daemon.name, unitFile(here(daemon))]));
  expect(units.size).toBeGreaterThan(6);
  expect(await complaints(name, units)).toEqual([]);
});

test('and would have, against a missing program, an unknown key and a wrong value', async () => {
  const [daemon] = daemonsOf(plainLab);
  if (!daemon) throw new Error('there is no daemon');
  const text = unitFile(here(daemon));
  const said = await complaints(
    'wrong',
    new Map([
      ['missing', unitFile({ ...daemon, binary: '/nowhere/etcd' })],
      ['unknown', text.replace('Restart=', 'Restrat=')],
      ['wrong', text.replace('Restart=always', 'Restart=sometimes')],
    ]),
  );
  expect(said).toContainEqual(expect.stringContaining('/nowhere/etcd is not executable'));
  expect(said).toContainEqual(expect.stringContaining('Restrat'));
  expect(said).toContainEqual(expect.stringContaining('sometimes'));
});
