import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deleteObservations, readObservations, recordedLines, saveObservation } from '../../lib/engine/observations.ts';
import type { LabObservation } from '../../lib/engine/step.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let path: string;
beforeEach(async () => {
  scratch = await scratchFolder();
  path = `${scratch.path}/seen.json`;
});
afterEach(() => scratch.remove());

const observation = (en: string, command = `look at ${en}`, id = command): LabObservation => ({
  id,
  phrase: { en, fr: `${en}, en français` },
  command,
  look: async () => '',
});
const nodes = observation('the Node');
const pods = observation('the Pods');

/** What is known of an observation now. */
const known = async (step: string, of: LabObservation) => recordedLines(await readObservations(path), step, of);

describe('what was seen', () => {
  test('is kept by step and observation, each with its last output', async () => {
    await saveObservation(path, 'kubelet', nodes, 'NotReady\n');
    await saveObservation(path, 'kubelet', pods, 'Pending\n');
    await saveObservation(path, 'network', nodes, 'Ready\n');
    await saveObservation(path, 'kubelet', nodes, 'NotReady 5s\n');
    expect(await known('kubelet', nodes)).toEqual(['NotReady 5s']);
    expect(await known('kubelet', pods)).toEqual(['Pending']);
    expect(await known('network', nodes)).toEqual(['Ready']);
    expect(await known('network', pods)).toBeUndefined();
    expect(await readFile(path, 'utf8')).not.toContain('"NotReady"');
  });

  test('is what a person was shown: no empty lines, and of many the first', async () => {
    await saveObservation(path, 'etcd', nodes, `NAME  \n\n${'row\n'.repeat(20)}`);
    expect(await known('etcd', nodes)).toEqual(['NAME', ...Array(11).fill('row'), '... 9 more lines']);
  });

  test('may be nothing, which is not the same as not looked at', async () => {
    await saveObservation(path, 'containerd', nodes, '\n');
    expect(await known('containerd', nodes)).toEqual([]);
    expect(await known('containerd', pods)).toBeUndefined();
  });

  test('is of that command only', async () => {
    await saveObservation(path, 'kubelet', nodes, 'NotReady');
    expect(await known('kubelet', observation('the Node', 'another command'))).toBeUndefined();
  });

  test('is found again whatever its phrase is now, and is told from another with the same command', async () => {
    await saveObservation(path, 'smoke', observation('four Pods run', 'get pods'), 'four');
    await saveObservation(path, 'smoke', observation('then five', 'get pods', 'get pods #2'), 'five');
    expect(await known('smoke', observation('four Pods are running', 'get pods'))).toEqual(['four']);
    expect(await known('smoke', observation('five at last', 'get pods', 'get pods #2'))).toEqual(['five']);
  });

  test('is found in a file of an older hardway by the English phrase, and replaced there', async () => {
    const old = { phrase: 'the Node', command: 'look at the Node', lines: ['NotReady'] };
    const other = { phrase: 'again', command: 'look at the Node', lines: ['Ready'] };
    await writeFile(path, JSON.stringify({ version: 1, steps: { kubelet: [old, other] } }));
    expect(await known('kubelet', nodes)).toEqual(['NotReady']);
    await saveObservation(path, 'kubelet', nodes, 'NotReady 5s');
    expect(await known('kubelet', nodes)).toEqual(['NotReady 5s']);
    expect(await readFile(path, 'utf8')).not.toContain('"NotReady"');
    expect(await known('kubelet', observation('again', 'look at the Node', 'look at the Node #2'))).toEqual(['Ready']);
  });

  test('is for root only, and no half of it is left beside', async () => {
    await saveObservation(path, 'kubelet', nodes, 'NotReady');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(scratch.path)).toEqual(['seen.json']);
  });

  test('is nothing where there is no file', async () => {
    expect(await readObservations(path)).toEqual({});
  });
});

describe.each([
  ['torn', '{"version":1,"steps":{"kub', 'cannot be read: it is not JSON', 'hardway up --observe'],
  [
    'edited',
    '{"version":1,"steps":{"kubelet":7}}',
    'cannot be read: its content.steps.kubelet',
    'hardway up --observe',
  ],
  ['of another hardway', '{"version":2,"steps":{}}', 'has version 2', 'the hardway that wrote it'],
])('a file that is %s', (_, text, words, next) => {
  beforeEach(() => writeFile(path, text));

  test('is refused by its name, with what to do, and not written over', async () => {
    const refusal = {
      name: 'UserError',
      message: expect.stringContaining(`${path} ${words}`),
      next: expect.stringContaining(next),
    };
    await expect(readObservations(path)).rejects.toMatchObject(refusal);
    await expect(saveObservation(path, 'kubelet', nodes, 'NotReady')).rejects.toMatchObject(refusal);
    expect(await readFile(path, 'utf8')).toBe(text);
  });

  test('does not outlive a step that is taken back', async () => {
    await deleteObservations(path, new Set(['etcd']));
    expect(await readdir(scratch.path)).toEqual([]);
  });
});

describe('when steps are taken back', () => {
  beforeEach(async () => {
    await saveObservation(path, 'etcd', nodes, 'healthy');
    await saveObservation(path, 'kubelet', nodes, 'NotReady');
  });

  test('what was seen after them is forgotten, and the rest stays', async () => {
    await deleteObservations(path, new Set(['certificates', 'etcd']));
    expect(Object.keys(await readObservations(path))).toEqual(['etcd']);
    expect(await readFile(path, 'utf8')).not.toContain('NotReady');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test.each([[['certificates']], [[]]])('no file stays where nothing is left of it: %j', async (stays) => {
    await deleteObservations(path, new Set(stays));
    expect(await readdir(scratch.path)).toEqual([]);
    await deleteObservations(path, new Set(stays));
  });
});
