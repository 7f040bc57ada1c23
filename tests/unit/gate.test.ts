import { expect, test } from 'vitest';
import { openGate, type UndoEvent } from '../../lib/engine/gate.ts';

const opened = (dryRun: boolean) => {
  const told: UndoEvent[] = [];
  return { told, gate: openGate(dryRun, (event) => told.push(event)) };
};

test('changes that one command performs are announced one by one, and performed once', async () => {
  const { told, gate } = opened(false);
  let performed = 0;
  await gate.runStage('links removed', (undoer) => undoer.applyAll(['cni0', 'veth1'], async () => (performed += 1)));
  expect(told).toEqual([
    { event: 'undo', group: 'links removed', what: 'cni0' },
    { event: 'undo', group: 'links removed', what: 'veth1' },
  ]);
  expect(performed).toBe(1);
  expect(gate.failures).toEqual([]);
});

test('of several changes only what the command leaves is a failure', async () => {
  const { told, gate } = opened(false);
  await gate.runStage('unmounted', (undoer) =>
    undoer.applyAll(['/a', '/b'], async () => undoer.reportLeft('/b', 'target is busy')),
  );
  expect(gate.failures).toEqual(['/b']);
  expect(told.at(-1)).toEqual({ event: 'failed', what: '/b', reason: 'target is busy' });
});

test('a dry run announces several changes and performs none; without a change no command runs', async () => {
  const dry = opened(true);
  const real = opened(false);
  const perform = async (): Promise<void> => expect.unreachable();
  await dry.gate.runStage('unmounted', (undoer) => undoer.applyAll(['/a', '/b'], perform));
  await real.gate.runStage('unmounted', (undoer) => undoer.applyAll([], perform));
  expect(dry.told).toHaveLength(2);
  expect(real.told).toEqual([]);
  expect(real.gate.failures).toEqual([]);
});
