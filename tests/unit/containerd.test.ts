import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { removeKubernetesNamespace, removePods, sharingOfContainerd } from '../../bin/reset/clean/containerd.ts';
import { planReset } from '../../bin/reset/plan.ts';
import { openGate, type UndoEvent } from '../../lib/engine/gate.ts';
import { system } from '../../lib/host/paths.ts';
import { run } from '../../lib/host/run.ts';
import { scratchFolder } from '../fixtures.ts';

/** The machine: whether containerd has a unit, what was started, the commands that were run and their exit code. */
const machine = vi.hoisted(() => ({
  hasUnit: true,
  resume: async () => {},
  ran: [] as string[],
  code: 0,
}));

vi.mock('../../lib/host/paths.ts', async (original) => {
  const paths = await original<typeof import('../../lib/host/paths.ts')>();
  return { ...paths, system: { ...paths.system } };
});
vi.mock('../../lib/host/run.ts', async (original) => ({
  ...(await original<typeof import('../../lib/host/run.ts')>()),
  tryRun: async (file: string, args: readonly string[]) => {
    machine.ran.push([file.replace(/.*\//, ''), ...args.slice(4)].join(' '));
    return { stdout: '', stderr: '', code: machine.code };
  },
}));
vi.mock('../../lib/daemons/supervisor.ts', async (original) => ({
  ...(await original<typeof import('../../lib/daemons/supervisor.ts')>()),
  supervisorOf: () => ({ statuses: async () => [{ exists: machine.hasUnit }], resume: () => machine.resume() }),
}));

/** Ends a program that listens, as SIGKILL does: its socket's file stays. */
const killed = async (path: string): Promise<void> => writeFile(path, '');

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve) => server.listen(path, () => resolve()));

let database = '';
const server = createServer((socket) => socket.destroy());
beforeEach(async () => {
  const { path, remove } = await scratchFolder();
  Object.assign(system, { containerd: join(path, 'data'), containerdSocket: join(path, 'socket') });
  database = join(path, 'data/io.containerd.metadata.v1.bolt/meta.db');
  await mkdir(dirname(database), { recursive: true });
  Object.assign(machine, {
    hasUnit: true,
    resume: () => listen(server, system.containerdSocket),
    ran: [],
    code: 0,
    ofPods: [],
  });
  return async () => {
    server.close();
    await remove();
  };
});

type Tree = { readonly [key: string]: Tree | string };
/** Makes a leaf page of bolt; each inner tree is a bucket inside the page. */
const leaf = (tree: Tree): Buffer => {
  const entries = Object.entries(tree);
  const header = Buffer.alloc(16 + 16 * entries.length);
  header.writeUInt16LE(2, 8);
  header.writeUInt16LE(entries.length, 10);
  const contents: Buffer[] = [];
  let end = header.length;
  for (const [index, [key, value]] of entries.entries()) {
    const at = 16 + 16 * index;
    const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.concat([Buffer.alloc(16), leaf(value)]);
    header.writeUInt32LE(typeof value === 'string' ? 0 : 1, at);
    header.writeUInt32LE(end - at, at + 4);
    header.writeUInt32LE(Buffer.byteLength(key), at + 8);
    header.writeUInt32LE(bytes.length, at + 12);
    contents.push(Buffer.from(key), bytes);
    end += Buffer.byteLength(key) + bytes.length;
  }
  return Buffer.concat([header, ...contents]);
};
/** Writes the metadata of containerd: a meta page, and the root page of all buckets. */
const writeMetadata = (namespaces: Tree): Promise<void> => {
  const meta = Buffer.alloc(4096);
  meta.writeUInt32LE(0xed0cdaed, 16);
  meta.writeUInt32LE(4096, 24);
  meta.writeBigUInt64LE(1n, 32);
  return writeFile(database, Buffer.concat([meta, leaf({ v1: namespaces })]));
};
const withImage: Tree = { images: { pause: 'digest' } };

const reset = async (stage: typeof removePods, dryRun = false) => {
  const told: UndoEvent[] = [];
  const { failures, remaining, runStage } = openGate(dryRun, (event) => told.push(event));
  const found = { entries: [], state: undefined, before: undefined };
  const plan = planReset({ found, to: undefined, sharesContainers: true, purges: false });
  const { signal } = new AbortController();
  const scope = { failures, remaining, plan, signal, before: undefined, reportDifference: () => {} };
  await runStage('stage', (undoer) => stage({ ...scope, undoer }));
  return told;
};

test('containerd is shared when a namespace beside Kubernetes’ has something, and not when there are no data', async () => {
  expect(await sharingOfContainerd()).toEqual({ shared: false });
  await writeMetadata({ 'k8s.io': withImage, moby: { images: {}, labels: {} } });
  expect(await sharingOfContainerd()).toEqual({ shared: false });
  await writeMetadata({ 'k8s.io': withImage, mine: withImage });
  expect(await sharingOfContainerd()).toEqual({ shared: true });
});

test.each([
  ['is no database', () => writeFile(database, 'x'.repeat(9000))],
  ['is empty', () => writeFile(database, '')],
  ['is a folder', () => mkdir(database)],
  ['is a FIFO', () => run('mkfifo', [database])],
])('containerd counts as shared when its list of containers %s, and the reason is told', async (_, make) => {
  await make();
  const { shared, unreadable } = await sharingOfContainerd();
  expect(shared).toBe(true);
  expect(unreadable).toContain(`${system.containerd}: others may have containers or images in it`);
});

test('containerd that was killed is started before it is asked for its Pods, and for Kubernetes’ namespace', async () => {
  await writeMetadata({ 'k8s.io': withImage, mine: withImage });
  machine.resume = async () => {
    await rm(system.containerdSocket);
    await listen(server, system.containerdSocket);
  };
  await killed(system.containerdSocket);
  expect(await reset(removePods)).toEqual([]);
  expect(machine.ran).toEqual(['crictl -t 20s pods --quiet']);
  expect(await reset(removeKubernetesNamespace)).toEqual([{ event: 'undo', group: 'stage', what: 'namespace k8s.io' }]);
  expect(machine.ran.at(-1)).toBe('ctr namespaces remove k8s.io');
});

test('without a unit nothing fails: the namespace stays, and the reason is told', async () => {
  await writeMetadata({ 'k8s.io': withImage, mine: withImage });
  machine.hasUnit = false;
  await killed(system.containerdSocket);
  expect(await reset(removePods)).toEqual([]);
  const what = `namespace k8s.io in ${system.containerd}: containerd has ended and its unit is gone`;
  expect(await reset(removeKubernetesNamespace)).toEqual([{ event: 'kept', what }]);
  expect(machine.ran).toEqual([]);
});

test('where containerd does not list its Pods the stage has failed', async () => {
  machine.code = 1;
  expect(await reset(removePods)).toMatchObject([
    { event: 'failed', reason: expect.stringContaining('containerd does not list its Pods') },
  ]);
});

test('a dry run does not start containerd', async () => {
  await writeMetadata({ 'k8s.io': withImage, mine: withImage });
  machine.resume = () => Promise.reject(new Error('started'));
  expect(await reset(removePods, true)).toEqual([]);
  expect(await reset(removeKubernetesNamespace, true)).toMatchObject([{ event: 'undo' }]);
});
