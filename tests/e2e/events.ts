import type { RunEvent } from '../../lib/engine/events.ts';
import { exampleLab, type Lab } from '../../lib/engine/lab.ts';
import type { Language } from '../../lib/engine/text.ts';
import { stepsWith } from '../../steps/index.ts';

export type { RunEvent };

/** The events of `--json`: every line has to be one. */
export const runEvents = (stdout: string): RunEvent[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RunEvent);

/** "etcd started", "etcd healthy", ...: the story of a run in the order it was told. */
export const story = (events: readonly RunEvent[]): string[] =>
  events.flatMap((event) => (event.event === 'step' ? [`${event.step} ${event.state}`] : []));

/** "etcd: it is empty ...": what was observed, in the order it was told. */
export const observed = (events: readonly RunEvent[]): string[] =>
  events.flatMap((event) => (event.event === 'observation' ? [`${event.step}: ${event.phrase}`] : []));

/** All that is to be observed of such a lab after these steps, in its order. */
export const observations = (lab: Partial<Lab>, steps: readonly string[], language: Language): string[] =>
  stepsWith({ ...exampleLab, ...lab })
    .filter(({ id }) => steps.includes(id))
    .flatMap((step) => step.observations.map(({ phrase }) => `${step.id}: ${phrase[language]}`));

/** The steps of `hardway up --cni bridge`, as people and tests rely on them. */
export const stepIds = [
  'preflight',
  'binaries',
  'certificates',
  'kubeconfigs',
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'containerd',
  'kubelet',
  'kube-proxy',
  'network',
  'coredns',
  'smoke',
] as const;

/** Those that start a process. */
export const components = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'containerd',
  'kubelet',
  'kube-proxy',
] as const;
