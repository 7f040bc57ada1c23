import { removeObjects } from '../../lib/cluster/etcd.ts';
import { isServiceCommand, type Supervisor, supervisorIn } from '../../lib/daemons/supervisor.ts';
import { until } from '../../lib/engine/check.ts';
import { reasonOf } from '../../lib/engine/errors.ts';
import type { Undoer } from '../../lib/engine/gate.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { keepEntries } from '../../lib/engine/ledger.ts';
import { deleteObservations } from '../../lib/engine/observations.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import { type State, writeState } from '../../lib/engine/state.ts';
import { removeAbandoned } from '../../lib/host/files.ts';
import { paths } from '../../lib/host/paths.ts';
import { removeDemo } from '../../steps/demo.ts';
import { components, stepsWith } from '../../steps/index.ts';
import { kubelet } from '../../steps/kubelet.ts';
import { foreignNamespaces, removeKubernetesNamespace, removePods } from './clean/containerd.ts';
import { restoreParameters, unloadModules } from './clean/kernel.ts';
import type { CleanupScope } from './clean/scope.ts';
import { removeLeftovers } from './clean.ts';
import type { LabOnDisk } from './lab-on-disk.ts';
import { isInside, undoEntries } from './undo.ts';

/** What is to be undone, and how. */
interface Task {
  readonly found: LabOnDisk;
  /** Steps to undo, the last one first. */
  readonly undone: readonly string[];
  readonly stays: ReadonlySet<string>;
  readonly gate: Undoer;
  readonly signal: AbortSignal;
}

/** Everything that a reset does to the machine, but for the lab's own folder. */
export const undoSteps = async (task: Task): Promise<void> => {
  const { found, undone, stays, gate } = task;
  const whole = stays.size === 0;
  if (!gate.dryRun) await deleteObservations(paths.seen, stays);
  if (!whole && found.state && !gate.dryRun) {
    await dropStepRecords(found.state, stays);
    if (stays.has('kube-apiserver')) await deleteApiObjects(undone, found.state.lab, gate.reportKept);
  }
  const shared = undone.includes('containerd') && (await foreignNamespaces()).length > 0;
  // Pods cannot outlive their network: the kubelet pauses while they are removed.
  const pause = undone.includes('network') && stays.has('kubelet');
  const supervisor = supervisorIn(found.entries);
  await stopAll(task, { shared, pause });
  if (
    stays.has('etcd') &&
    undone.includes('kube-apiserver') &&
    found.entries.some(({ step }) => step === 'kube-apiserver')
  )
    await removeObjects(gate);

  const aftermath: CleanupScope = { gate, undone, before: found.before, shared };
  await removeLeftovers(aftermath);
  await undoEntries(
    found.entries.filter(({ step }) => !stays.has(step)),
    { gate, isOurs: (one) => !(whole && isInside(one)) && !isServiceCommand(one) },
  );
  await supervisor.reloadUnits(
    undone.filter((id) => components.includes(id)),
    gate,
  );
  if (pause) await gate.apply('components started again', 'kubelet', () => resumeKubelet(supervisor, task));
  if (whole) {
    await restoreParameters(aftermath);
    if (gate.dryRun) return;
    await unloadModules(found.before);
    await removeAbandoned(`${paths.lock}.`); // of runs that were killed just while they took the lock
  } else if (!gate.dryRun && gate.failures.length === 0) await keepEntries(paths.ledger, [...stays]);
};

/** Starts the kubelet again and waits until it answers: it belongs to what stays, and that is healthy afterwards. */
const resumeKubelet = async (supervisor: Supervisor, { found, signal }: Task): Promise<void> => {
  await supervisor.resume('kubelet');
  const lab = found.state?.lab;
  if (!lab) return;
  const context = readOnlyContext(lab, stepsWith(lab));
  for (const { phrase, probe: look } of kubelet.checks) {
    await until(phrase, (limit) => look(context, limit), { signal, deadline: 60_000 });
  }
};

/** Stops the components of undone steps; what needs a living containerd is done in between. */
const stopAll = async (
  { found, undone, stays, gate }: Task,
  { shared, pause }: { readonly shared: boolean; readonly pause: boolean },
): Promise<void> => {
  const supervisor = supervisorIn(found.entries);
  const stopped = undone.filter((id) => components.includes(id));
  await supervisor.stop(
    stopped.filter((id) => !(shared && id === 'containerd')),
    components,
    gate,
  );
  if (pause) await gate.apply('components paused', 'kubelet', () => supervisor.pause('kubelet'));
  if (pause || shared || (undone.includes('kubelet') && stays.has('containerd'))) await removePods(gate);
  if (!shared) return;
  await removeKubernetesNamespace(gate);
  await supervisor.stop(['containerd'], components, gate);
};

/**
 * Takes the objects of undone steps out of a cluster that lives on, and those of the story: with fewer steps it is
 * another one. One that does not answer keeps them until `up`.
 */
const deleteApiObjects = async (undone: readonly string[], lab: Lab, keep: (what: string) => void): Promise<void> => {
  const context = readOnlyContext(lab, stepsWith(lab));
  const all = stepsWith(lab);
  for (const id of undone) {
    await all
      .find((step) => step.id === id)
      ?.deleteObjects?.(context)
      .catch((error: unknown) => keep(`the objects of ${id} in the cluster: ${reasonOf(error)}`));
  }
  await removeDemo(context).catch((error: unknown) => keep(`the objects of the story: ${reasonOf(error)}`));
};

/** Forgets that steps were applied, before they are taken back: a crash in between must not leave them as healthy. */
const dropStepRecords = (state: State, stays: ReadonlySet<string>): Promise<void> =>
  writeState(paths.state, {
    ...state,
    steps: Object.fromEntries(Object.entries(state.steps).filter(([id]) => stays.has(id))),
  });
