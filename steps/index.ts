import type { Step } from '../lib/engine/step.ts';
import { binaries } from './binaries.ts';
import { certificates } from './certificates.ts';
import { containerd } from './containerd.ts';
import { coredns } from './coredns.ts';
import { etcd } from './etcd.ts';
import { kubeApiserver } from './kube-apiserver.ts';
import { kubeControllerManager } from './kube-controller-manager.ts';
import { kubeProxy } from './kube-proxy.ts';
import { kubeScheduler } from './kube-scheduler.ts';
import { kubeconfigs } from './kubeconfigs.ts';
import { kubelet } from './kubelet.ts';
import { network } from './network.ts';
import { preflight } from './preflight.ts';
import { smoke } from './smoke.ts';

/** The guide, in its order. */
export const steps: readonly Step[] = [
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
  smoke,
];
