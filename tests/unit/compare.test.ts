import { expect, test } from 'vitest';
import { removalOf } from '../../bin/reset/compare.ts';
import { planReset } from '../../bin/reset/plan.ts';
import { openGate } from '../../lib/engine/gate.ts';
import type { Undo } from '../../lib/host/change.ts';

const path = '/usr/local/bin/kubectl';

test.each<[string, boolean, readonly Undo[]]>([
  ['that we made is ours to remove', true, [{ kind: 'remove', path }]],
  ['whose mode alone we set is not', false, [{ kind: 'access', path, mode: 0o644 }]],
  [
    'that was put back is not, although ours was there before it',
    false,
    [
      { kind: 'remove', path },
      { kind: 'restore', path, from: '/kept' },
    ],
  ],
])('a new file %s', async (_, ours, undos) => {
  const entries = undos.map((undo) => ({ at: '', step: 'etcd', do: { kind: 'run', argv: [] } as const, undo }));
  const found = { entries, state: undefined, before: undefined };
  const plan = planReset({ found, to: undefined, sharesContainers: false, purges: false });
  const removals: (string | undefined)[] = [];
  await openGate(false, () => {}).runStage('comparison', async (undoer) => {
    removals.push(removalOf({ kind: 'file', name: path, after: 'file' }, { plan, undoer }));
  });
  expect(removals).toEqual([ours ? `rm -r ${path}` : undefined]);
});
