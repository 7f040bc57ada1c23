import { reasonOf } from '../engine/errors.ts';
import type { Api } from './api.ts';

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

interface Ended {
  readonly exitCode: number;
  readonly reason?: string;
  readonly message?: string;
}

interface Waiting {
  readonly reason: string;
  readonly message?: string;
}

/** The status of a container (core/v1 ContainerStatus), as far as a reason is taken from it. */
interface Container {
  readonly name: string;
  readonly ready: boolean;
  readonly state?: {
    readonly waiting?: Waiting;
    readonly running?: object;
    readonly terminated?: Ended;
  };
  readonly lastState?: { readonly terminated?: Ended };
}

/** A Pod (core/v1), as far as a reason is taken from it. */
export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly creationTimestamp: string;
    /** Set while it is being deleted. */
    readonly deletionTimestamp?: string;
  };
  readonly status: {
    readonly phase: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly Condition[];
    readonly initContainerStatuses?: readonly Container[];
    readonly containerStatuses?: readonly Container[];
  };
}

interface Event {
  readonly type: string;
  readonly message?: string;
  readonly eventTime?: string | null;
  readonly lastTimestamp?: string | null;
  readonly series?: { readonly lastObservedTime?: string };
}

/** The part of the API server's client that a reason is asked with. */
type Asker = Pick<Api, 'get' | 'text'>;

const longest = 300;
const short = (text: string): string => {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > longest ? `${line.slice(0, longest - 1)}…` : line;
};

const tellsOfFailure = /\b(error|fatal|panic|fail(ed|ure|s)?|cannot|can't|denied|refused|no such|no route|timeout)\b/i;

/**
 * Returns the line of a log that most likely says why its program does not work: the last one with a word for a
 * failure, because a program that waits repeats that it waits; else the last line.
 */
export const tellingLine = (log: string): string | undefined => {
  const lines = log.split('\n').filter((line) => line.trim() !== '');
  const found = lines.findLast((line) => tellsOfFailure.test(line)) ?? lines.at(-1);
  return found && short(found);
};

/** Returns the message of the newest Warning among the Events of a Pod, which come in any order. */
export const newestWarning = (events: readonly Event[]): string | undefined => {
  const at = ({ series, lastTimestamp, eventTime }: Event): number =>
    Date.parse(series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? '') || 0;
  const warnings = events.filter(({ type, message }) => type === 'Warning' && message);
  const newest = warnings.sort((a, b) => at(b) - at(a))[0]?.message;
  return newest && short(newest);
};

const askForWarning = async (api: Asker, { metadata: { namespace, uid } }: Pod): Promise<string | undefined> => {
  const selector = encodeURIComponent(`involvedObject.uid=${uid},type=Warning`);
  const events = `/api/v1/namespaces/${namespace}/events?fieldSelector=${selector}`;
  return newestWarning((await api.get<{ items: Event[] }>(events)).items);
};

/** Returns the telling line of a container's log; of its previous run where it does not run now. */
const askForLog = async (api: Asker, { metadata }: Pod, container: Container): Promise<string | undefined> => {
  const { name, state, lastState } = container;
  const previous = state?.waiting && lastState?.terminated ? '&previous=true' : '';
  const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}/log`;
  return api
    .text(`${path}?container=${encodeURIComponent(name)}&tailLines=20${previous}`)
    .then(tellingLine, (error) => {
      return `its log cannot be read: ${short(reasonOf(error))}`;
    });
};

/** Returns the taints of the Nodes: the scheduler says that a Pod does not tolerate one, but not which. */
const askForTaints = async (api: Asker): Promise<string | undefined> => {
  const { items } = await api.get<{
    items: { metadata: { name: string }; spec: { taints?: { key: string; effect: string }[] } }[];
  }>('/api/v1/nodes');
  const found = items.flatMap(({ metadata, spec }) =>
    (spec.taints ?? []).map(({ key, effect }) => `the Node ${metadata.name} has the taint ${key}:${effect}`),
  );
  return found.join(', ') || undefined;
};

/** Returns the container that a Pod waits for: init containers run before the others, one after the other. */
const heldUpBy = ({ status: { initContainerStatuses = [], containerStatuses = [] } }: Pod): Container | undefined =>
  initContainerStatuses.find(({ ready }) => !ready) ?? containerStatuses.find(({ ready }) => !ready);

/** Returns the condition of a Pod for which the scheduler has found no Node. */
const unscheduledIn = ({ status }: Pod): Condition | undefined =>
  status.conditions?.find(({ type, status: now }) => type === 'PodScheduled' && now !== 'True');

type Question = (api: Asker, pod: Pod) => Promise<string | undefined>;

/** What is said of a Pod, and a question to the API server whose answer says more. */
interface Account {
  readonly said: string;
  readonly ask?: Question;
}

const endOf = ({ reason, exitCode }: Ended): string =>
  `${reason && reason !== 'Error' ? `${reason}, ` : ''}exit code ${exitCode}`;

const logOf =
  (container: Container): Question =>
  async (api, pod) =>
    (await askForLog(api, pod, container)) ?? (await askForWarning(api, pod));

/** Tells of a container that waits for something else than its next run; the kubelet's message, where it has one, is the cause. */
const accountOfWaiting = ({ reason, message }: Waiting): Account =>
  message ? { said: `${reason}: ${short(message)}` } : { said: reason, ask: askForWarning };

/** Tells of a container that runs without being ready, or has ended. */
const accountOf = (container: Container): Account => {
  const { name, state, lastState } = container;
  const { waiting, running, terminated } = state ?? {};
  if (waiting && waiting.reason !== 'CrashLoopBackOff') return accountOfWaiting(waiting);
  if (running) return { said: `container ${name} runs and is not ready`, ask: logOf(container) };
  const end = terminated ?? lastState?.terminated;
  const said = [`container ${name}`, waiting ? `is in ${waiting.reason}` : 'has ended', end && `(${endOf(end)})`];
  const words = said.filter(Boolean).join(' ');
  return end?.message ? { said: `${words}: ${short(end.message)}` } : { said: words, ask: logOf(container) };
};

/** Tells why a Pod is not ready; undefined when it is. */
const account = (pod: Pod): Account | undefined => {
  const { phase, reason, message, conditions = [] } = pod.status;
  if (phase === 'Failed') return { said: [reason ?? phase, message].filter(Boolean).join(': ') };
  const unscheduled = unscheduledIn(pod);
  if (unscheduled) {
    const said = short(unscheduled.message || unscheduled.reason || phase);
    return said.includes('taint') ? { said, ask: askForTaints } : { said };
  }
  const container = heldUpBy(pod);
  if (container) return accountOf(container);
  const notReady = conditions.find(({ type, status: now }) => type === 'Ready' && now !== 'True');
  if (notReady) return { said: notReady.message || notReady.reason || phase, ask: askForWarning };
  if (conditions.length === 0 && phase === 'Pending') return { said: 'the scheduler has not looked at it yet' };
  return undefined;
};

/** Milliseconds that a Pod is let start before anything more is asked about it: a healthy bring-up asks nothing. */
const patienceMs = 3000;

/**
 * Returns why a Pod is not ready, in one line: its state, and in addition either the newest Warning about it (before
 * its containers start) or the line of the container's log that tells of a failure. Undefined when it is ready. `now` is
 * in milliseconds since 1970.
 */
export const whyNotReady = async (api: Asker, pod: Pod, now: number): Promise<string | undefined> => {
  const found = account(pod);
  if (!found) return undefined;
  const crashed = heldUpBy(pod)?.lastState?.terminated !== undefined;
  const young = !crashed && now - Date.parse(pod.metadata.creationTimestamp) < patienceMs;
  const more = young ? undefined : await found.ask?.(api, pod).catch(() => undefined);
  return [`Pod ${pod.metadata.name}: ${found.said}`, more].filter(Boolean).join(': ');
};

/**
 * Leaves out Pods that are being deleted or have failed for good, such as evicted ones, where there are others. The
 * newest comes first: it is made from the Deployment as it is now, an older one may wait for what was changed since.
 */
const counting = (pods: readonly Pod[]): readonly Pod[] => {
  const alive = pods.filter(({ metadata, status }) => !metadata.deletionTimestamp && status.phase !== 'Failed');
  const age = ({ metadata }: Pod): number => Date.now() - Date.parse(metadata.creationTimestamp);
  return (alive.length > 0 ? alive : pods.slice(-1)).toSorted((a, b) => age(a) - age(b));
};

/** Returns why one of the Pods with these labels is not ready; undefined when all are, or none is there. */
export const whyPodsAreNotReady = async (
  api: Asker,
  namespace: string,
  labels: Readonly<Record<string, string>>,
): Promise<string | undefined> => {
  const selector = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector.join(','))}`;
  const { items } = await api.get<{ items: Pod[] }>(path);
  const pod = counting(items).find((one) => account(one) !== undefined);
  return pod && whyNotReady(api, pod, Date.now());
};
