import { beforeEach, expect, test, vi } from 'vitest';
import { unloadUnused } from '../../bin/reset/clean/kernel.ts';
import { compare } from '../../bin/reset/compare.ts';
import { planReset } from '../../bin/reset/plan.ts';
import { openGate, type UndoEvent } from '../../lib/engine/gate.ts';
import type { Difference, HostSnapshot } from '../../lib/host/snapshot.ts';

/** A kernel: each module with the modules that use it. */
const kernel = vi.hoisted(() => new Map<string, readonly string[]>());
/** Names of links by namespace and kind; our own namespace is that of ip. */
const links = vi.hoisted(() => new Map<string, readonly string[]>());
const usersOf = vi.hoisted(
  () =>
    (name: string): readonly string[] =>
      (kernel.get(name) ?? []).filter((user) => kernel.has(user)),
);

vi.mock('../../lib/host/files.ts', async (original) => ({
  ...(await original<typeof import('../../lib/host/files.ts')>()),
  readIfThere: async () =>
    [...kernel.keys()]
      .map((name) => `${name} 1000 ${usersOf(name).length} ${usersOf(name).join() || '-'} Live 0x0\n`)
      .join(''),
}));
vi.mock('../../lib/host/proc.ts', async (original) => ({
  ...(await original<typeof import('../../lib/host/proc.ts')>()),
  allPids: () => ['self', process.pid, 'other'],
}));
vi.mock('../../lib/host/snapshot.ts', async (original) => ({
  ...(await original<typeof import('../../lib/host/snapshot.ts')>()),
  takeSnapshot: async () => snapshotWith(...kernel.keys()),
}));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const statSync = (path: string, ...rest: never[]) =>
    path === '/proc/other/ns/net' ? { dev: 0, ino: 0 } : fs.statSync(path, ...rest);
  return { ...fs, statSync };
});
vi.mock('../../lib/host/run.ts', async (original) => ({
  ...(await original<typeof import('../../lib/host/run.ts')>()),
  tryRun: async (file: string, args: readonly string[]) => {
    const [name = ''] = args;
    if (file !== 'rmmod') {
      const there = links.get(`${file === 'ip' ? 'ours' : name.replace('--net=', '')} ${args.at(-1)}`) ?? [];
      const shown = there.map((ifname) => ({ ifname, flags: ifname.endsWith('0') ? [] : ['UP'] }));
      return { stdout: JSON.stringify([{}, ...shown]), stderr: 'no such namespace', code: there.includes('?') ? 1 : 0 };
    }
    if (usersOf(name).length > 0) return { stdout: '', stderr: `${name} is in use`, code: 1 };
    kernel.delete(name);
    return { stdout: '', stderr: '', code: 0 };
  },
}));

beforeEach(() => {
  kernel.clear();
  links.clear();
  kernel.set('nf_conntrack', ['nf_nat', 'xt_conntrack']);
  kernel.set('nf_nat', ['xt_MASQUERADE']);
  kernel.set('xt_conntrack', []);
  kernel.set('xt_MASQUERADE', []);
  kernel.set('ext4', []);
});

const loadedByUs = {
  at: '',
  step: 'preflight',
  do: { kind: 'run', argv: [] },
  undo: { kind: 'module', name: 'nf_conntrack' },
} as const;
const unload = (before: HostSnapshot | undefined): ReturnType<typeof unloadUnused> => {
  const found = { entries: [loadedByUs], state: undefined, before };
  const plan = planReset({ found, to: undefined, sharesContainers: false, purges: false });
  return unloadUnused({ plan, before });
};
const snapshotWith = (...names: readonly string[]): HostSnapshot => ({
  version: 1,
  homes: [],
  sections: { 'kernel module': Object.fromEntries(names.map((name) => [name, 'loaded'])) },
});

test('a module that we loaded goes once those that containers brought, and that use it, have gone', async () => {
  await unload(snapshotWith('ext4'));
  expect([...kernel.keys()]).toEqual(['ext4']);
});

test('one that somebody else’s module still uses stays', async () => {
  kernel.set('theirs', []);
  kernel.set('nf_conntrack', ['theirs']);
  await unload(snapshotWith('ext4'));
  expect([...kernel.keys()]).toEqual(['nf_conntrack', 'ext4', 'theirs']);
});

test('without a snapshot only what we loaded may go, and only unused', async () => {
  await unload(undefined);
  expect([...kernel.keys()]).toContain('nf_conntrack');
  kernel.set('nf_conntrack', []);
  await unload(undefined);
  expect([...kernel.keys()]).toEqual(['nf_nat', 'xt_conntrack', 'xt_MASQUERADE', 'ext4']);
});

test('a module of links goes when no link of its kind is left; the tunnel that ipip makes by itself is none', async () => {
  for (const name of ['veth', 'ipip', 'vxlan']) kernel.set(name, []);
  links.set('ours ipip', ['tunl0']);
  expect(await unload(snapshotWith('ext4'))).toEqual(new Map());
  expect([...kernel.keys()]).toEqual(['ext4']);
});

test('a module stays with those that it uses while others have a link of its kind, in whatever network namespace', async () => {
  kernel.set('veth', []);
  kernel.set('vxlan', []);
  kernel.set('udp_tunnel', ['vxlan']);
  kernel.set('ipip', []);
  links.set('ours veth', ['theirs1']);
  links.set('/proc/other/ns/net vxlan', ['theirs2']);
  links.set('/proc/other/ns/net ipip', ['?']);
  expect(await unload(snapshotWith('ext4'))).toEqual(
    new Map([
      ['veth', 'link theirs1 is of its kind'],
      ['vxlan', 'another network namespace uses links of it'],
      ['ipip', 'the links of its kind cannot be listed: no such namespace'],
      ['udp_tunnel', 'module vxlan uses it'],
    ]),
  );
  expect([...kernel.keys()]).toEqual(['ext4', 'veth', 'vxlan', 'udp_tunnel', 'ipip']);
});

test('the comparison names a module that stays for links of others as kept: it is no difference', async () => {
  kernel.clear();
  kernel.set('veth', []);
  kernel.set('vxlan', []);
  links.set('/proc/other/ns/net veth', ['theirs']);
  const [told, differences] = [[] as UndoEvent[], [] as Difference[]];
  const { failures, remaining, runStage } = openGate(false, (event) => told.push(event));
  const before = snapshotWith('vxlan');
  const found = { entries: [], state: undefined, before };
  const plan = planReset({ found, to: undefined, sharesContainers: false, purges: false });
  const { signal } = new AbortController();
  const reportDifference = (one: Difference): void => void differences.push(one);
  await runStage('compared', (undoer) =>
    compare({ plan, before, undoer, failures, remaining, signal, reportDifference }),
  );
  const what = 'kernel module veth: another network namespace uses links of it';
  expect(told).toEqual([{ event: 'kept', what }]);
  expect(differences).toEqual([]);
});
