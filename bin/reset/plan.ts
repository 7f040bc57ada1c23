import type { Component } from '../../lib/daemons/systemd.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { exampleLab, type Lab, type SupervisorName } from '../../lib/engine/lab.ts';
import { allLeaves, type Leaves } from '../../lib/engine/leaves.ts';
import { type LedgerEntry, supervisorIn, undoneBy } from '../../lib/engine/ledger.ts';
import type { Step } from '../../lib/engine/step.ts';
import { components, everyStep, stepIds, stepsWith } from '../../steps/index.ts';
import { noSuchStep, resetTo } from '../lab.ts';
import { installedSteps, type LabOnDisk } from './lab-on-disk.ts';

/** The steps that a reset undoes, and what follows from them. It is made from the lab's own files only. */
export interface ResetPlan {
  /** Id of the last step that stays; absent when everything is undone. */
  readonly to: string | undefined;
  /** Ids of the steps that are undone, the last one first. */
  readonly undone: readonly string[];
  readonly stays: ReadonlySet<string>;
  /** Ids of the undone steps that have changed this machine. */
  readonly installed: readonly string[];
  /** The lab, where its state can be read. */
  readonly lab: Lab | undefined;
  readonly supervisor: SupervisorName;
  /** Components to stop, the last one first. */
  readonly stopped: readonly Component[];
  /** Leaves of the undone steps that were begun, of every network, because an earlier lab may have had the other one. */
  readonly leaves: Leaves;
  /** Leaves of the remaining steps, which stay. */
  readonly spared: Leaves;
  /** Changes to undo, in the order in which they were made. */
  readonly entries: readonly LedgerEntry[];
  /** Time of the first change, in milliseconds of the Unix epoch; undefined where the ledger has none. */
  readonly begun: number | undefined;
  /** Data that is destroyed for good. */
  readonly loses: readonly NonNullable<Step['loses']>[];
  /**
   * Component that runs Pods, if it must be stopped while they are removed; `resumed` says whether it is started again.
   */
  readonly paused: { readonly name: string; readonly resumed: boolean } | undefined;
  /** Component that runs containers. */
  readonly runtime: string;
  /** True if Pods are removed one by one, because containerd or its data stay. */
  readonly removesPods: boolean;
  /** True if containerd has containers or images of somebody else: then its data stay. */
  readonly sharesContainers: boolean;
  /** True if the API server stays: then the objects of undone steps have to be deleted. */
  readonly deletesObjects: boolean;
  /** True if etcd stays without its API server: the next one could not read its objects. */
  readonly emptiesStore: boolean;
  /** True if downloads and builds are deleted too. */
  readonly purges: boolean;
}

/** Input of planReset: what was asked for, and what is on the disk. */
export interface ResetFacts {
  readonly found: LabOnDisk;
  readonly to: string | undefined;
  readonly sharesContainers: boolean;
  readonly purges: boolean;
}

/** Throws UserError for a step to which this lab cannot go back. */
const requireStep = (to: string | undefined, { lost, state }: LabOnDisk): void => {
  if (to === undefined) return;
  if (lost) throw new UserError(`the ledger is lost, so what belongs to the steps up to ${to} is not known`, resetTo());
  const had = state && stepsWith(state.lab).map(({ id }) => id);
  if (!had || had.includes(to)) return;
  throw noSuchStep(to, resetTo(stepIds.slice(0, stepIds.indexOf(to)).findLast((id) => had.includes(id))));
};

/**
 * Plans a reset. It is pure: it reads nothing from the machine. Throws UserError for a step to which the lab cannot go
 * back.
 */
export const planReset = ({ found, to, sharesContainers, purges }: ResetFacts): ResetPlan => {
  requireStep(to, found);
  const { entries, state } = found;
  const lab = state?.lab;
  const stays = new Set(to === undefined ? [] : stepIds.slice(0, stepIds.indexOf(to) + 1));
  const undone = stepIds.filter((id) => !stays.has(id)).reverse();
  const here = installedSteps(found);
  const installed = undone.filter((id) => here.includes(id));

  const nameOf = (step: Step): Component => step.daemon?.(lab ?? exampleLab) ?? { name: step.id };
  const stepOf = (has: (step: Step) => unknown): Step | undefined => everyStep.find(has);
  const goes = (has: (step: Step) => unknown): boolean => everyStep.some((step) => has(step) && !stays.has(step.id));
  const remains = (has: (step: Step) => unknown): boolean =>
    everyStep.some((step) => has(step) && stays.has(step.id) && here.includes(step.id));
  const leavesOf = (is: (id: string) => boolean): Leaves =>
    allLeaves(everyStep.filter(({ id }) => is(id)).map(({ leaves }) => leaves));

  const runtime = stepOf(({ runsContainers }) => runsContainers);
  const kubelet = stepOf(({ runsPods }) => runsPods);
  const hasPods = kubelet !== undefined && here.includes(kubelet.id);
  // What a step that was not begun would have left is somebody else's. One without a daemon leaves what Pods make.
  const hasBegun = (id: string): boolean => here.includes(id) || (hasPods && !components.includes(id));
  const shared = sharesContainers && goes(({ runsContainers }) => runsContainers);
  const losesNetwork = to !== undefined && goes(({ carriesPods }) => carriesPods);
  const podsGo = shared || losesNetwork;
  return {
    to,
    undone,
    stays,
    installed,
    lab,
    supervisor: supervisorIn(entries) ?? lab?.supervisor ?? 'systemd',
    stopped: undone.flatMap((id) => {
      const step = stepOf((one) => one.id === id && one.daemon !== undefined);
      return step && installed.includes(id) ? [nameOf(step)] : [];
    }),
    leaves: leavesOf((id) => !stays.has(id) && hasBegun(id)),
    spared: leavesOf((id) => stays.has(id)),
    entries: undoneBy(entries, (step) => stays.has(step)),
    begun: entries[0] && Date.parse(entries[0].at),
    loses: installed.flatMap((id) => stepOf((one) => one.id === id)?.loses ?? []),
    paused: hasPods && podsGo ? { name: nameOf(kubelet).name, resumed: stays.has(kubelet.id) } : undefined,
    runtime: runtime ? nameOf(runtime).name : '',
    removesPods: shared || (losesNetwork && remains(({ runsContainers }) => runsContainers)),
    sharesContainers: shared,
    deletesObjects: lab !== undefined && remains(({ servesObjects }) => servesObjects),
    emptiesStore:
      remains(({ holdsObjects }) => holdsObjects) &&
      everyStep.some((step) => step.servesObjects && installed.includes(step.id)),
    purges,
  };
};
