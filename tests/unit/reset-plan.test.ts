import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isOurModule } from '../../bin/reset/clean/kernel.ts';
import type { LabOnDisk } from '../../bin/reset/lab-on-disk.ts';
import { planReset, type ResetPlan } from '../../bin/reset/plan.ts';
import { stages, takeStages } from '../../bin/reset/stages.ts';
import { openGate, type UndoEvent } from '../../lib/engine/gate.ts';
import { cnis, supervisorNames } from '../../lib/engine/lab.ts';
import { type LedgerEntry, readLedger } from '../../lib/engine/ledger.ts';
import { readState } from '../../lib/engine/state.ts';
import type { Undo } from '../../lib/host/change.ts';
import { readSnapshot } from '../../lib/host/snapshot.ts';
import { components, stepIds } from '../../steps/index.ts';
import { plainLab } from '../fixtures.ts';

const entry = (step: string, undo: Undo): LedgerEntry => ({ at: '', step, do: { kind: 'run', argv: [] }, undo });

/** A lab with these steps, as its files tell of it. */
const labWith = (
  steps: readonly string[],
  lab: Partial<typeof plainLab> = {},
): LabOnDisk & { readonly state: object } => ({
  before: undefined,
  state: {
    version: 1,
    lab: { ...plainLab, ...lab },
    steps: Object.fromEntries(steps.map((id) => [id, { fingerprint: '', at: '', seconds: 0 }])),
  },
  entries: steps
    .filter((id) => components.includes(id))
    .map((name) => entry(name, { kind: 'unit', name, supervisor: lab.supervisor ?? 'systemd' })),
});

const planOf = (found: LabOnDisk, to?: string, more = {}): ResetPlan =>
  planReset({ found, to, sharesContainers: false, purges: false, ...more });

const stagesOf = (plan: ResetPlan): readonly string[] =>
  stages.filter(({ when }) => when?.(plan) ?? true).map(({ name }) => name);
const whole = labWith(stepIds.filter((id) => id !== 'ingress'));
const names = ({ stopped }: ResetPlan): readonly string[] => stopped.map(({ name }) => name);

describe.each(cnis.flatMap((cni) => supervisorNames.map((supervisor) => ({ cni, supervisor }))))(
  'a whole reset with $cni under $supervisor',
  ({ cni, supervisor }) => {
    const plan = planOf(labWith(stepIds, { cni, supervisor }));

    test('stops every component, the last one first', () => {
      expect(names(plan)).toEqual([...components].reverse());
      expect(plan.stopped.filter(({ killAtOnce }) => killAtOnce)).toHaveLength(1);
      expect(plan.supervisor).toBe(supervisor);
    });

    test('deletes no objects one by one and starts nothing again', () => {
      expect(plan).toMatchObject({ deletesObjects: false, emptiesStore: false, removesPods: false });
      expect(plan.paused).toBeUndefined();
      expect(stagesOf(plan)).toContain('folder of the lab removed');
      expect(stagesOf(plan)).not.toContain('ledger shortened');
    });

    test('removes what the daemons of either network leave', () => {
      for (const name of ['cali0123456789a', 'vxlan.calico'])
        expect(plan.leaves.links.some((one) => one.test(name))).toBe(true);
      expect(plan.leaves.bridges).toEqual(['cni0']);
      expect(plan.leaves.paths).toEqual(expect.arrayContaining(['/var/lib/kubelet', '/var/lib/cni', '/run/calico']));
    });
  },
);

test.each([
  ['coredns', [], {}],
  ['network', [], { paused: undefined, removesPods: false, deletesObjects: true, emptiesStore: false }],
  ['kube-proxy', [], { paused: { resumed: true }, removesPods: true, deletesObjects: true, emptiesStore: false }],
  ['containerd', ['kube-proxy', 'kubelet'], { paused: { resumed: false }, removesPods: true, deletesObjects: true }],
  ['kube-scheduler', ['kube-proxy', 'kubelet', 'containerd'], { removesPods: false, deletesObjects: true }],
  ['etcd', [...components.slice(1)].reverse(), { deletesObjects: false, emptiesStore: true }],
  [
    'certificates',
    [...components].reverse(),
    { deletesObjects: false, emptiesStore: false, paused: { resumed: false } },
  ],
])('reset --to %s stops %j', (to, stopped, expected) => {
  const plan = planOf(whole, to);
  expect(names(plan)).toEqual(stopped);
  expect(plan).toMatchObject(expected);
  expect(stagesOf(plan)).toContain('ledger shortened');
});

test('a step that the lab has not is refused with the one before it, where nothing is lost', () => {
  expect(() => planOf(whole, 'ingress')).toThrow(
    expect.objectContaining({ message: 'this lab has no step ingress', next: 'hardway reset --to coredns' }),
  );
  expect(planOf(labWith(stepIds, { with: ['ingress'] }), 'ingress').installed).toEqual(['smoke']);
});

test('a lab that has lost its ledger cannot go back to a step, only altogether', () => {
  const lost = { ...whole, state: undefined, lost: true };
  expect(() => planOf(lost, 'kubelet')).toThrow(expect.objectContaining({ next: 'hardway reset' }));
  expect(planOf(lost).stopped).toHaveLength(components.length);
});

test.each([
  ['kube-proxy', ['components started again']],
  ['containerd', []], // the kubelet goes too
])('reset --to %s leaves the network to Pods that it could not remove', async (to, restored) => {
  const failures: string[] = [];
  const taken: string[] = [];
  const stopped = await takeStages(planOf(whole, to), failures, async ({ name }) => {
    taken.push(name);
    if (name === 'Pods removed') failures.push(name);
  });
  expect(stopped).toBe('Pods removed');
  expect(taken.slice(taken.indexOf('Pods removed') + 1)).toEqual(restored);
});

test('a whole reset goes on whatever fails', async () => {
  const failures: string[] = [];
  const plan = planOf(whole, undefined, { sharesContainers: true });
  const stopped = await takeStages(plan, failures, async ({ name }) => void failures.push(name));
  expect(stopped).toBeUndefined();
  expect(failures).toEqual(stagesOf(plan));
});

test('a chain that two steps claim goes with the earlier one', () => {
  const { leaves, spared } = planOf(whole, 'kubelet');
  const goes = (name: string): boolean =>
    leaves.chains.some((one) => one.test(name)) && !spared.chains.some((one) => one.test(name));
  expect(['KUBE-SERVICES', 'cali-FORWARD', 'CNI-1', 'KUBE-KUBELET-CANARY', 'MINE'].map(goes)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});

test('of a lab that is not whole only what is there is stopped, paused and lost', () => {
  const plan = planOf(labWith(stepIds.slice(0, stepIds.indexOf('etcd') + 1)), 'preflight');
  expect(names(plan)).toEqual(['etcd']);
  expect(plan.installed).toEqual(['etcd', 'kubeconfigs', 'certificates', 'binaries']);
  expect(plan.paused).toBeUndefined();
  expect(plan.loses.map(({ what }) => what)).toEqual(['its certificates and keys']);
});

test('a step that was recorded nowhere but in the ledger is taken back: a crash came before its record', () => {
  const found = { ...whole, state: undefined };
  const plan = planOf(found);
  expect(names(plan)).toEqual([...components].reverse());
  expect(plan.lab).toBeUndefined();
});

test('of a lab that was not begun nothing is stopped, and what a daemon would have left is somebody else’s', () => {
  const plan = planOf({ entries: [], state: undefined, before: undefined });
  expect(names(plan)).toEqual([]);
  expect(Object.values(plan.leaves).flat()).toEqual([]);
});

test('a lab up to containerd leaves what containerd leaves, and nothing of a kubelet, a kube-proxy or a network', () => {
  const { leaves } = planOf(labWith(stepIds.slice(0, stepIds.indexOf('containerd') + 1)));
  expect(leaves.paths).toContain('/var/lib/containerd');
  expect(leaves.paths).not.toContain('/var/lib/kubelet');
  expect(leaves.paths).not.toContain('/var/lib/cni');
  expect([...leaves.chains, ...leaves.bridges]).toEqual([]);
});

test('with containers of others containerd is emptied of Pods first, and the kubelet stands still meanwhile', () => {
  const plan = planOf(whole, undefined, { sharesContainers: true });
  expect(plan).toMatchObject({
    removesPods: true,
    sharesContainers: true,
    paused: { name: 'kubelet', resumed: false },
  });
  const order = stagesOf(plan);
  const at = ['components paused', 'Pods removed', 'Kubernetes taken out of containerd', 'components stopped'].map(
    (name) => order.indexOf(name),
  );
  expect(at).toEqual([...at].sort((a, b) => a - b));
  expect(at).not.toContain(-1);
});

test('what is lost is said of the last step first: Pods before the objects that they come from', () => {
  const words = ['Pods and their volumes', "etcd's data: every object of the cluster", 'its certificates and keys'];
  expect(planOf(whole).loses.map(({ what }) => what)).toEqual(words);
});

test('after the last step there is nothing to undo', () => {
  expect(planOf(whole, stepIds.at(-1))).toMatchObject({ undone: [], installed: [], entries: [] });
});

test('the modules that we loaded and those that containers bring are ours, others are not', () => {
  const sections = { 'kernel module': { ext4: 'loaded', bridge: 'loaded' } };
  const isOurs = isOurModule(
    { entries: [entry('preflight', { kind: 'module', name: 'loaded_by_us' })] },
    { version: 1, homes: [], sections },
  );
  expect(['loaded_by_us', 'nf_nat', 'bridge', 'zfs'].map(isOurs)).toEqual([true, true, false, false]);
});

test('modules are unloaded after the ledger was taken back and all rules are gone', () => {
  const order = stages.map(({ name }) => name);
  const last = order.indexOf('kernel modules unloaded');
  for (const name of ['own changes taken back', 'rules and chains removed', 'ipsets removed', 'links removed'])
    expect(order.indexOf(name), name).toBeLessThan(last);
});

describe('a lab of hardway 0.1', () => {
  const folder = join(import.meta.dirname, 'fixtures/lab-of-0.1');
  const read = async (): Promise<LabOnDisk> => ({
    entries: await readLedger(join(folder, 'ledger.jsonl')),
    state: await readState(join(folder, 'state.json')),
    before: await readSnapshot(join(folder, 'picture.json')),
  });

  test('is reset as a whole: every component, every file, every folder, the parameter', async () => {
    const found = await read();
    const plan = planOf(found);
    const lines = (await readFile(join(folder, 'ledger.jsonl'), 'utf8')).trimEnd().split('\n');
    expect(plan.entries).toHaveLength(lines.length);
    expect(names(plan)).toEqual([...components].reverse());
    expect(plan.supervisor).toBe('systemd');
    const units = plan.entries.flatMap(({ undo }) => (undo.kind === 'unit' ? [undo.name] : []));
    expect(new Set(units)).toEqual(new Set(components));
    const commands = plan.entries.flatMap(({ undo }) => (undo.kind === 'run' ? [undo.argv] : []));
    expect(commands).toEqual([['sysctl', '-qw', 'net.ipv4.ip_forward=0']]);
    expect(plan.lab).toMatchObject({ cni: 'bridge', kubernetes: 'v1.36.3' });
    expect(found.before?.sections['file']?.['/etc']).toMatch(/^folder 755/);
  });

  test('is taken back to a step: what stays keeps its changes', async () => {
    const plan = planOf(await read(), 'containerd');
    expect(names(plan)).toEqual(['kube-proxy', 'kubelet']);
    const paths = plan.entries.flatMap(({ undo }) => ('path' in undo ? [undo.path] : []));
    expect(paths).toContain('/etc/systemd/system/kubelet.service');
    expect(paths).not.toContain('/etc/systemd/system/containerd.service');
  });
});

describe('the gate', () => {
  const open = (signal?: AbortSignal) => {
    const told: UndoEvent[] = [];
    return { told, ...openGate(false, (event) => told.push(event), signal) };
  };

  test('names a stage that throws, and the next stage runs', async () => {
    const { told, failures, runStage } = open();
    await runStage('one', async () => {
      throw new Error('daemon-reload failed');
    });
    await runStage('two', (undoer) => undoer.apply('thing', async () => {}));
    expect(failures).toEqual(['one']);
    expect(told).toEqual([
      { event: 'failed', what: 'one', reason: 'daemon-reload failed' },
      { event: 'undo', group: 'two', what: 'thing' },
    ]);
  });

  test('names a change that throws, and the rest of its stage goes on', async () => {
    const { told, failures, runStage } = open();
    await runStage('mounts', async (undoer) => {
      await undoer.apply('/busy', () => Promise.reject(new Error('busy')));
      await undoer.apply('/free', async () => {});
    });
    expect(failures).toEqual(['/busy']);
    expect(told).toContainEqual({ event: 'undo', group: 'mounts', what: '/free' });
  });

  test('lets nothing through once the signal is aborted: the reset ends, it has not failed', async () => {
    const controller = new AbortController();
    const { failures, runStage } = open(controller.signal);
    controller.abort(new Error('Ctrl-C'));
    await expect(runStage('one', (undoer) => undoer.apply('thing', async () => {}))).rejects.toThrow('Ctrl-C');
    expect(failures).toEqual([]);
  });
});

test('docs/reset.md has the stages as they are, in their order, with the reason of each', async () => {
  const text = await readFile(join(import.meta.dirname, '../../docs/reset.md'), 'utf8');
  const documented = [...text.matchAll(/^\d+\. \*\*(.+?)\*\*(?: \((.+?)\))?: (.+)$/gm)].map(([, name, , why]) => ({
    name,
    why,
  }));
  expect(documented).toEqual(stages.map(({ name, why }) => ({ name, why })));
});
