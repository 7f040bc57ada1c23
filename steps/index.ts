import { type Cni, extras, type Lab } from '../lib/engine/lab.ts';
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

/** The two ways to give Pods a network; both are the step `network`. */
const networks: Readonly<Record<Cni, Step>> = { calico, bridge };

/** THE order of the guide, for a lab with this network and these extras. */
const inOrder = ({ cni, with: wanted }: Pick<Lab, 'cni' | 'with'>): readonly Step[] => [
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
  networks[cni],
  coredns,
  ...(wanted.includes('ingress') ? [ingress] : []),
  smoke,
];

/** The steps of a lab, in their order. */
export const stepsWith = (lab: Lab): readonly LabStep[] => inOrder(lab).map(stepIn(lab));

const allSteps = inOrder({ cni: 'calico', with: extras });

/** The names of all of them, extras too; they do not depend on the network. */
export const stepIds = allSteps.map(({ id }) => id);
/** The names of the steps that start a process: each is a component's. */
export const components = allSteps.filter(({ daemon }) => daemon).map(({ id }) => id);
