import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readState, type State, writeState } from '../../lib/engine/state.ts';
import { plainLab, scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let path: string;
beforeEach(async () => {
  scratch = await scratchFolder();
  path = `${scratch.path}/state.json`;
});
afterEach(() => scratch.remove());

const state: State = {
  version: 1,
  lab: plainLab,
  steps: { etcd: { fingerprint: 'abc', at: '2026-01-01T00:00:00.000Z', seconds: 0.3 } },
};

test('what was written is read back', async () => {
  await writeState(path, state);
  expect(await readState(path)).toEqual(state);
});

test('where there is no file there is no lab', async () => {
  expect(await readState(path)).toBeUndefined();
});

test('only root can read it, in a folder that only root can enter, and no half of it is left beside', async () => {
  path = `${scratch.path}/lab/state.json`;
  await writeState(path, state);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(`${scratch.path}/lab`)).mode & 0o066).toBe(0);
  expect(await readdir(`${scratch.path}/lab`)).toEqual(['state.json']);
});

test('a torn file is refused by its name, with what to do', async () => {
  await writeState(path, state);
  await writeFile(path, (await readFile(path, 'utf8')).slice(0, 100));
  await expect(readState(path)).rejects.toMatchObject({
    name: 'UserError',
    message: expect.stringContaining(path),
    next: expect.stringContaining('hardway up'),
  });
});

test.each([
  ['{"version":2,"lab":{},"steps":{}}', 'has version 2'],
  ['{"lab":{},"steps":{}}', 'has version undefined'],
  ['null', 'has version undefined'],
  ['7', 'has version undefined'],
])('a state of another hardway is refused: %s', async (text, words) => {
  await writeFile(path, text);
  await expect(readState(path)).rejects.toMatchObject({ name: 'UserError', message: expect.stringContaining(words) });
});

test.each([
  ['no lab', { lab: undefined }, 'its content.lab has no fields'],
  ['a lab that is nothing', { lab: null }, 'its content.lab has no fields'],
  ['a lab without a node', { lab: { ...plainLab, node: undefined } }, 'its content.lab.node has no fields'],
  ['an address that is a number', { lab: { ...plainLab, node: { ...plainLab.node, address: 7 } } }, 'node.address'],
  ['a network that there is not', { lab: { ...plainLab, cni: 'cilium' } }, 'its content.lab.cni is not one of'],
  ['steps that are a list', { steps: [] }, 'its content.steps has no fields'],
  ['a step without a time', { steps: { etcd: { fingerprint: 'abc', seconds: 1 } } }, 'its content.steps.etcd.at'],
])('a state with %s is refused with the reason, and with what to do', async (_, change, words) => {
  await writeFile(path, JSON.stringify({ ...state, ...change }));
  await expect(readState(path)).rejects.toMatchObject({
    name: 'UserError',
    message: expect.stringContaining(words),
    next: expect.stringContaining('hardway up'),
  });
});

test('a folder in the place of the state is refused with the reason', async () => {
  await mkdir(path);
  await expect(readState(path)).rejects.toMatchObject({
    name: 'UserError',
    message: `${path} cannot be read: ${path} is a folder, not a file`,
  });
});
