import { beforeEach, expect, test, vi } from 'vitest';
import { unloadUnused } from '../../bin/reset/clean/kernel.ts';
import { planReset } from '../../bin/reset/plan.ts';
import type { HostSnapshot } from '../../lib/host/snapshot.ts';

/** A kernel: each module with the modules that use it. */
const kernel = vi.hoisted(() => new Map<string, readonly string[]>());
const usersOf = vi.hoisted(
  () =>
    (name: string): readonly string[] =>
      (kernel.get(name) ?? []).filter((user) => kernel.has(user)),
);

vi.mock('../../lib/host/files.ts', async (original) => ({
  ...(await original<typeof import('../../lib/host/files.ts')>()),
  readIfThere: async () =>
    [...kernel.keys()].map((name) => `${name} 1000 ${usersOf(name).length} - Live 0x0\n`).join(''),
}));
vi.mock('../../lib/host/run.ts', async (original) => ({
  ...(await original<typeof import('../../lib/host/run.ts')>()),
  tryRun: async (_: string, [name = '']: readonly string[]) => {
    if (usersOf(name).length > 0) return { stdout: '', stderr: `${name} is in use`, code: 1 };
    kernel.delete(name);
    return { stdout: '', stderr: '', code: 0 };
  },
}));

beforeEach(() => {
  kernel.clear();
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
const unload = (before: HostSnapshot | undefined): Promise<void> => {
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
