import { removeKubectlCaches, removeMade, removeNetnsFolder } from './clean/files.ts';
import { removeCalicoTables, removeEmptyTables, removeIpsets, removeRules } from './clean/firewall.ts';
import { removeLinks, removeNamespaces, removeRoutes, unmount } from './clean/network.ts';
import { endPods, endShims, removeCgroups } from './clean/processes.ts';
import type { CleanupScope } from './clean/scope.ts';

type Removal = (aftermath: CleanupScope) => Promise<void>;

/** What daemons leave, in the order in which it can be removed, with the steps of which one must be undone for it. */
const removals: readonly (readonly [steps: readonly string[], Removal])[] = [
  [['kubelet', 'containerd'], endPods],
  [['containerd'], endShims],
  [['kubelet', 'containerd', 'network'], unmount],
  [['network', 'containerd'], removeNamespaces],
  [['network'], removeLinks],
  [['network'], removeRoutes],
  [['kube-proxy', 'network', 'kubelet'], removeRules],
  [['network'], removeCalicoTables],
  [['kube-proxy', 'kubelet'], removeEmptyTables],
  [['network', 'kube-proxy'], removeIpsets],
  [['kubelet', 'containerd'], removeCgroups],
  [['kubelet'], removeMade('kubelet')],
  [['network'], removeMade('network')],
  [['containerd'], removeMade('containerd')],
  [['containerd'], removeNetnsFolder],
  [['kubeconfigs'], removeKubectlCaches],
];

/** Removes what the daemons of the undone steps made while they ran. The daemons must have been stopped. */
export const removeLeftovers = async (aftermath: CleanupScope): Promise<void> => {
  for (const [steps, removal] of removals) {
    if (steps.some((step) => aftermath.undone.includes(step))) await removal(aftermath);
  }
};
