import { purgeCache } from './clean/cache.ts';
import {
  disableComponents,
  forgetComponents,
  pauseComponent,
  resumeComponent,
  stopComponents,
} from './clean/components.ts';
import { removeKubernetesNamespace, removePods } from './clean/containerd.ts';
import { removeHomeFolders, removeMade, removeRoot, removeStaleLocks } from './clean/files.ts';
import { removeEmptyTables, removeIpsets, removeNftTables, removeRules } from './clean/firewall.ts';
import { restoreParameters, unloadModules } from './clean/kernel.ts';
import { unmount } from './clean/mounts.ts';
import { removeLinks, removeNamespaces, removeRoutes } from './clean/network.ts';
import { deleteApiObjects, emptyStore } from './clean/objects.ts';
import { endOrphans, endPods, removeCgroups } from './clean/processes.ts';
import { dropObservations, dropStepRecords, shortenLedger } from './clean/records.ts';
import type { Reset } from './clean/scope.ts';
import { compare } from './compare.ts';
import type { ResetPlan } from './plan.ts';
import { undoChanges } from './undo.ts';

/** One stage of a reset. An error in it is reported, and the next stage runs, unless what comes next rests on it. */
export interface Stage {
  readonly name: string;
  /** Reason for its place in the order. */
  readonly why: string;
  /** Absent for a stage of every reset. */
  readonly when?: (plan: ResetPlan) => boolean;
  /** Tells whether nothing that comes after it may be undone where it fails. */
  readonly bears?: (plan: ResetPlan) => boolean;
  /** True for a stage that undoes nothing, and runs all the same after one that bears and has failed. */
  readonly restores?: true;
  readonly run: (reset: Reset) => Promise<void>;
}

const isWhole = ({ to }: ResetPlan): boolean => to === undefined;
const isPartial = ({ to }: ResetPlan): boolean => to !== undefined;

/** THE order of a reset: a reset does this, from top to bottom. --dry-run and docs/reset.md show it. */
export const stages: readonly Stage[] = [
  {
    name: 'records of observations removed',
    why: 'first, as what was seen after an undone step is not so any more',
    run: dropObservations,
  },
  {
    name: 'records of steps removed',
    why: 'before anything is undone: a reset that is killed must not leave an undone step recorded as healthy',
    when: isPartial,
    run: dropStepRecords,
  },
  {
    name: 'components paused',
    why: 'a kubelet would start the Pods again that the next stage removes',
    when: ({ paused }) => paused !== undefined,
    run: pauseComponent,
  },
  {
    name: 'Pods removed',
    why: 'through containerd, as that stays; while their network still answers for them, or they could never be removed',
    when: ({ removesPods }) => removesPods,
    bears: isPartial,
    run: removePods,
  },
  {
    name: 'Kubernetes taken out of containerd',
    why: 'while containerd still runs: the rest of its data is somebody else’s and stays',
    when: ({ sharesContainers }) => sharesContainers,
    run: removeKubernetesNamespace,
  },
  {
    name: 'objects removed from the cluster',
    why: 'while the controllers still run that delete what belongs to them',
    when: ({ deletesObjects }) => deletesObjects,
    run: deleteApiObjects,
  },
  {
    name: 'components stopped',
    why: 'a running daemon makes again what is removed',
    run: stopComponents,
  },
  {
    name: 'taken out of the boot',
    why: 'a reboot in the middle of a reset must not start them again',
    run: disableComponents,
  },
  {
    name: 'objects removed from etcd',
    why: 'when no API server uses them any more: the next one has another key for its Secrets',
    when: ({ emptiesStore }) => emptiesStore,
    run: emptyStore,
  },
  {
    name: 'processes of Pods ended',
    why: 'they hold mounts, namespaces and cgroups',
    run: endPods,
  },
  {
    name: 'shims ended',
    why: 'after the processes that they look after; they hold mounts too',
    run: endOrphans,
  },
  {
    name: 'unmounted',
    why: 'before any folder is removed, or what is mounted in it would be emptied',
    run: unmount,
  },
  {
    name: 'network namespaces removed',
    why: 'their end of a link goes with them',
    run: removeNamespaces,
  },
  {
    name: 'links removed',
    why: 'with a link go its addresses and routes',
    run: removeLinks,
  },
  {
    name: 'routes removed',
    why: 'what is left has no link, such as a blackhole',
    run: removeRoutes,
  },
  {
    name: 'rules and chains removed',
    why: 'one by one, before the sets that they name',
    run: removeRules,
  },
  {
    name: 'nft tables removed',
    why: 'those of daemons, beside the chains of iptables',
    run: removeNftTables,
  },
  {
    name: 'empty nft tables and chains removed',
    why: 'iptables made them when it was first asked; empty only now',
    run: removeEmptyTables,
  },
  {
    name: 'ipsets removed',
    why: 'no rule names them any more',
    run: removeIpsets,
  },
  {
    name: 'cgroups of Pods removed',
    why: 'no process is in them any more',
    run: removeCgroups,
  },
  {
    name: 'folders of daemons removed',
    why: 'nothing is mounted in them any more',
    run: removeMade,
  },
  {
    name: 'folders in homes removed',
    why: 'what kubectl remembered of the cluster',
    run: removeHomeFolders,
  },
  {
    name: 'own changes taken back',
    why: 'the ledger, its last change first: files, folders, packages, settings',
    run: undoChanges,
  },
  {
    name: 'units forgotten',
    why: 'systemd still knows units whose files are gone',
    run: forgetComponents,
  },
  {
    name: 'components started again',
    why: 'what was paused belongs to what stays',
    when: ({ paused }) => paused?.resumed ?? false,
    restores: true,
    run: resumeComponent,
  },
  {
    name: 'kernel parameters restored',
    why: 'daemons set some beside those of the ledger',
    when: isWhole,
    run: restoreParameters,
  },
  {
    name: 'kernel modules unloaded',
    why: 'no link, rule or mount uses them any more',
    when: isWhole,
    run: unloadModules,
  },
  {
    name: 'stale locks removed',
    why: 'of runs that were killed just while they took the lock',
    when: isWhole,
    run: removeStaleLocks,
  },
  {
    name: 'compared with the snapshot',
    why: 'while the snapshot is still there; what differs is named',
    when: isWhole,
    run: compare,
  },
  {
    name: 'ledger shortened',
    why: 'to the changes of what stays, when all others were taken back; else the next reset needs it',
    when: isPartial,
    run: shortenLedger,
  },
  {
    name: 'folder of the lab removed',
    why: 'the ledger goes last, when nothing is left that a second reset would need it for',
    when: isWhole,
    run: removeRoot,
  },
  {
    name: 'cache purged',
    why: 'nothing of the lab links into it any more',
    when: ({ purges }) => purges,
    run: purgeCache,
  },
];

/**
 * Takes the stages of a plan in their order. Once one has failed that bears the others, only those follow that restore.
 * Returns the name of that one; undefined where there is none.
 */
export const takeStages = async (
  plan: ResetPlan,
  failures: readonly string[],
  take: (stage: Stage) => Promise<void>,
): Promise<string | undefined> => {
  let stopped: string | undefined;
  for (const stage of stages) {
    if ((stage.when && !stage.when(plan)) || (stopped !== undefined && !stage.restores)) continue;
    const failed = failures.length;
    await take(stage);
    if (failures.length > failed && stage.bears?.(plan)) stopped ??= stage.name;
  }
  return stopped;
};
