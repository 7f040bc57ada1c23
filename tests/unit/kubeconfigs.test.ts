import { lstat, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLedger, readLedger } from '../../lib/engine/ledger.ts';
import { createHosts } from '../../lib/host/host.ts';
import { givePerson } from '../../steps/kubeconfigs.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let home: string;
let file: string;
beforeEach(async () => {
  scratch = await scratchFolder();
  home = scratch.path;
  file = `${home}/.kube/config`;
});
afterEach(() => scratch.remove());

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

/** Gives the person a kubeconfig, as a run does that records its changes. */
const give = async (content: string): Promise<void> => {
  const path = `${home}/ledger.jsonl`;
  const ledger = openLedger(path);
  const entries = await readLedger(path);
  const host = createHosts({ dryRun: false, owned: new Set([file]) })({
    record: (change) => ledger.append('kubeconfigs', change),
    tell: () => {},
  });
  await givePerson(host, content, { home, owner }, entries);
  ledger.close();
};

const ours = 'clusters:\n- name: hardway\n';

test('a person without a kubeconfig gets one, and it is renewed as long as it is the one that we wrote', async () => {
  await give(ours);
  expect(await readFile(file, 'utf8')).toBe(ours);
  await give(`${ours}# renewed\n`);
  expect(await readFile(file, 'utf8')).toBe(`${ours}# renewed\n`);
});

test.each([
  ['other clusters were merged into ours', `${ours}- name: work\n`],
  ['it has a cluster of our name', ours],
])('a kubeconfig is the person’s and stays as it is where %s', async (_, content) => {
  await mkdir(`${home}/.kube`);
  await give('something else\n');
  await writeFile(file, content);
  await give(`${ours}# renewed\n`);
  expect(await readFile(file, 'utf8')).toBe(content);
});

test('nothing is written through a link of the person', async () => {
  await mkdir(`${home}/elsewhere`);
  await symlink(`${home}/elsewhere`, `${home}/.kube`);
  await give(ours);
  expect((await lstat(`${home}/.kube`)).isSymbolicLink()).toBe(true);
  await expect(readFile(`${home}/elsewhere/config`)).rejects.toThrow('ENOENT');
});
