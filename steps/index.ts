import { requireCurrent } from '../lib/daemons/supervisor.ts';
import { deferredCheck } from '../lib/engine/check.ts';
import type { Cni, Lab } from '../lib/engine/lab.ts';
import { type LabStep, type Step, stepIn } from '../lib/engine/step.ts';
import { binaries } from './binaries.ts';
import { bridge } from './bridge.ts';
import { calico } from './calico.ts';
import { certificates } from './certificates.ts';
import { containerd } from './containerd.ts';
import { coredns } from './coredns.ts';
import { etcd } from './etcd.ts';
import { ingress } from './ingress.ts';
import { kubeApiserver } from './kube-apiserver.ts';
import { kubeControllerManager } from './kube-controller-manager.ts';
import { kubeProxy } from './kube-proxy.ts';
import { kubeScheduler } from './kube-scheduler.ts';
import { kubeconfigs } from './kubeconfigs.ts';
import { kubelet } from './kubelet.ts';
import { preflight } from './preflight.ts';
import { smoke } from './smoke.ts';

/** The two steps that give Pods a network; both have the id `network`. */
const networks: Readonly<Record<Cni, Step>> = { calico, bridge };

/** THE order of the guide. */
const inOrder = (network: Step): readonly Step[] => [
  preflight,
  binaries,
  certificates,
  kubeconfigs,
  etcd,
  kubeApiserver,
  kubeControllerManager,
  kubeScheduler,
  containerd,
  kubelet,
  kubeProxy,
  network,
  coredns,
  ingress,
  smoke,
];

/**
 * Adds the check that a daemon runs with its files as they are now: it holds for every daemon. It is looked at last, as
 * the next steps do not need it.
 */
const withItsFiles =
  (lab: Lab) =>
  (step: LabStep): LabStep => {
    const { daemon } = step;
    if (!daemon) return step;
    const current = deferredCheck('runs with its files as they are now', () => requireCurrent(lab, daemon));
    return { ...step, checks: [...step.checks, current] };
  };

/** The steps of a lab, in their order: those that every lab has, and the extras that it was asked for. */
export const stepsWith = (lab: Lab): readonly LabStep[] =>
  inOrder(networks[lab.cni])
    .filter(({ id, extra }) => !extra || lab.with.includes(id))
    .map(stepIn(lab))
    .map(withItsFiles(lab));

/** Every step that a lab can have; of the two networks both. */
export const everyStep: readonly Step[] = [...inOrder(calico), bridge];

/** The names of all of them, in their order. */
export const stepIds: readonly string[] = [...new Set(everyStep.map(({ id }) => id))];
/** The names of the steps that a lab has only where they were asked for. */
export const extras: readonly string[] = everyStep.filter(({ extra }) => extra).map(({ id }) => id);
/** Ids of the steps that start a process; each is the name of its component. */
export const components: readonly string[] = everyStep.filter(({ daemon }) => daemon).map(({ id }) => id);
