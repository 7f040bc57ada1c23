import type { Component } from '../../lib/daemons/systemd.ts';
import { exampleLab, type Lab, type SupervisorName } from '../../lib/engine/lab.ts';
import { allLeaves, type Leaves } from '../../lib/engine/leaves.ts';
import { type LedgerEntry, supervisorIn } from '../../lib/engine/ledger.ts';
import type { Step } from '../../lib/engine/step.ts';
import { everyStep, stepIds } from '../../steps/index.ts';
import { installedSteps, type LabOnDisk } from './lab-on-disk.ts';

/** Which steps a reset undoes, and what follows from that; nothing in it was looked up on the machine but the lab's own files. */
export interface ResetPlan {
  /** Id of the last step that stays; absent when everything is undone. */
  readonly to: string | undefined;
  /** Ids of the steps that go, the last one first. */
  readonly undone: readonly string[];
  readonly stays: ReadonlySet<string>;
  /** Ids of the steps that go and of which something is on this machine. */
  readonly installed: readonly string[];
  /** The lab, where its state can be read. */
  readonly lab: Lab | undefined;
  readonly supervisor: SupervisorName;
  /** Components to stop, the last one first. */
  readonly stopped: readonly Component[];
  /** What the daemons of undone steps leave; of every network, as an earlier lab may have had the other one. */
  readonly leaves: Leaves;
  /** What the daemons of the remaining steps have made: it stays. */
  readonly spared: Leaves;
  /** The changes to take back, in the order in which they were made. */
  readonly entries: readonly LedgerEntry[];
  /** What a person loses for good. */
  readonly loses: readonly NonNullable<Step['loses']>[];
  /** The component that runs Pods, where it must not while they are removed; `resumed` says whether it runs again after that. */
  readonly paused: { readonly name: string; readonly resumed: boolean } | undefined;
  /** Whether containers are removed one by one, as containerd or its data stay. */
  readonly removesPods: boolean;
  /** Whether containerd has containers or images of somebody else: then its data stay. */
  readonly sharesContainers: boolean;
  /** Whether the API server stays, so that objects of undone steps have to be deleted. */
  readonly deletesObjects: boolean;
  /** Whether etcd stays without its API server: the next one could not read what is in it. */
  readonly emptiesStore: boolean;
  /** Whether downloads and builds go too. */
  readonly purges: boolean;
}

/** What is asked of a reset, and what it found. */
export interface ResetFacts {
  readonly found: LabOnDisk;
  readonly to: string | undefined;
  readonly sharesContainers: boolean;
  readonly purges: boolean;
}

/** The plan of a reset. Pure: it looks at nothing. */
export const planReset = ({ found, to, sharesContainers, purges }: ResetFacts): ResetPlan => {
  const { entries, state } = found;
  const lab = state?.lab;
  const stays = new Set(to === undefined ? [] : stepIds.slice(0, stepIds.indexOf(to) + 1));
  const undone = stepIds.filter((id) => !stays.has(id)).reverse();
  const known = installedSteps(found);
  const here = known.length > 0 ? known : stepIds; // of a lab whose files are lost everything may run
  const installed = undone.filter((id) => here.includes(id));

  const nameOf = (step: Step): Component => step.daemon?.(lab ?? exampleLab) ?? { name: step.id };
  const stepOf = (has: (step: Step) => unknown): Step | undefined => everyStep.find(has);
  const goes = (has: (step: Step) => unknown): boolean => everyStep.some((step) => has(step) && !stays.has(step.id));
  const remains = (has: (step: Step) => unknown): boolean =>
    everyStep.some((step) => has(step) && stays.has(step.id) && here.includes(step.id));
  const leavesOf = (is: (id: string) => boolean): Leaves =>
    allLeaves(everyStep.filter(({ id }) => is(id)).map(({ leaves }) => leaves));

  const kubelet = stepOf(({ runsPods }) => runsPods);
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
    leaves: leavesOf((id) => !stays.has(id)),
    spared: leavesOf((id) => stays.has(id)),
    entries: entries.filter(({ step }) => !stays.has(step)),
    loses: stepIds.flatMap((id) => (!installed.includes(id) ? [] : (stepOf((one) => one.id === id)?.loses ?? []))),
    paused:
      kubelet && podsGo && here.includes(kubelet.id)
        ? { name: nameOf(kubelet).name, resumed: stays.has(kubelet.id) }
        : undefined,
    removesPods: shared || (losesNetwork && remains(({ runsContainers }) => runsContainers)),
    sharesContainers: shared,
    deletesObjects: lab !== undefined && remains(({ servesObjects }) => servesObjects),
    emptiesStore:
      remains(({ holdsObjects }) => holdsObjects) &&
      everyStep.some((step) => step.servesObjects && installed.includes(step.id)),
    purges,
  };
};
