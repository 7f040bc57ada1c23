import { apiOf, ifThere } from '../../../lib/cluster/api.ts';
import { named } from '../../../lib/cluster/objects.ts';
import type { Context } from '../../../lib/engine/step.ts';
import type { Language, Text } from '../../../lib/engine/text.ts';
import { kubeApiserver } from '../../../steps/kube-apiserver.ts';
import { kubelet } from '../../../steps/kubelet.ts';

interface Meta {
  readonly name: string;
  readonly uid: string;
  readonly creationTimestamp: string;
  readonly ownerReferences?: readonly { readonly kind: string; readonly name: string }[];
}

interface Pod {
  readonly metadata: Meta;
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly lastTransitionTime: string;
      readonly message?: string;
    }[];
  };
}

interface Event {
  readonly reason: string;
  readonly message: string;
  readonly eventTime?: string | null;
  readonly firstTimestamp?: string | null;
  readonly source?: { readonly component?: string };
  readonly reportingComponent?: string;
}

/** One line of a Pod's timeline: when a component did something for it. */
export interface TimelineEvent {
  readonly at: string;
  readonly who: string;
  readonly what: string;
}

const created: Text = { en: 'stored', fr: 'enregistre' };
const conditions: Readonly<Record<string, { who: string; text: Text }>> = {
  PodReadyToStartContainers: {
    who: 'containerd, CNI',
    text: { en: 'sandbox and network are there; address', fr: 'bac à sable et réseau sont là ; adresse' },
  },
  Ready: {
    who: kubelet.id,
    text: {
      en: 'the readiness probe passed: Services may lead here',
      fr: 'la sonde readiness passe : les Services peuvent mener ici',
    },
  },
};

const deedsOf = (events: readonly Event[]): readonly TimelineEvent[] =>
  events.map(({ reason, message, eventTime, firstTimestamp, source, reportingComponent }) => ({
    at: eventTime ?? firstTimestamp ?? '',
    who: source?.component || reportingComponent || '?',
    what: `${reason}: ${message}`,
  }));

/** Ranks events of the same second by cause and effect. */
const rank = ({ who, what }: TimelineEvent): number => {
  const order = [
    / Deployment /,
    / ReplicaSet /,
    /^deployment-/,
    / Pod /,
    /^replicaset-/,
    /scheduler/,
    /^containerd/,
    /Pull/,
    /Created/,
    /Started/,
    /^kubelet/,
  ];
  const found = order.findIndex((pattern) => pattern.test(who) || pattern.test(` ${what} `));
  return found < 0 ? order.length : found;
};

/** Sorts a timeline by time; events of one second by cause and effect. */
export const sortTimeline = (deeds: readonly TimelineEvent[]): readonly TimelineEvent[] =>
  deeds.toSorted((a, b) => a.at.slice(0, 19).localeCompare(b.at.slice(0, 19)) || rank(a) - rank(b));

const lineOf = ({ at, who, what }: TimelineEvent): string =>
  `${at.slice(11, 19)}  ${who.padEnd(22)} ${what.split('\n')[0]}`;

/** Returns the timeline of a Pod, from its Deployment to Running. Throws UserError where there is no such Pod. */
export const explainPod = async (
  context: Context,
  namespace: string,
  name: string,
  language: Language,
): Promise<string> => {
  const api = await apiOf(context);
  const ofNamespace = `/api/v1/namespaces/${namespace}`;
  const pods = await api.get<{ items: Pod[] }>(`${ofNamespace}/pods`);
  const pod = named('Pod', pods.items, name, namespace);
  const eventsOf = async (kind: string, of: string): Promise<readonly Event[]> => {
    const selector = encodeURIComponent(`involvedObject.kind=${kind},involvedObject.name=${of}`);
    return (await api.get<{ items: Event[] }>(`${ofNamespace}/events?fieldSelector=${selector}`)).items;
  };
  const stored = (kind: string, { name: of, creationTimestamp }: Meta): TimelineEvent => ({
    at: creationTimestamp,
    who: kubeApiserver.id,
    what: `${created[language]} ${kind} ${of}`,
  });

  const deeds: TimelineEvent[] = [stored('Pod', pod.metadata), ...deedsOf(await eventsOf('Pod', name))];
  const plural: Readonly<Record<string, string>> = { ReplicaSet: 'replicasets', Deployment: 'deployments' };
  for (let owner = pod.metadata.ownerReferences?.[0]; owner && plural[owner.kind]; ) {
    const { kind, name: of } = owner;
    const path = `/apis/apps/v1/namespaces/${namespace}/${plural[kind]}/${of}`;
    const found = await ifThere(api.get<{ metadata: Meta }>(path));
    if (!found) break;
    const events = (await eventsOf(kind, of)).filter(({ message }) => kind !== 'ReplicaSet' || message.includes(name));
    deeds.push(stored(kind, found.metadata), ...deedsOf(events));
    owner = found.metadata.ownerReferences?.[0];
  }
  for (const { type, status, lastTransitionTime } of pod.status.conditions ?? []) {
    const known = conditions[type];
    if (!known || status !== 'True') continue;
    const address = type === 'PodReadyToStartContainers' ? ` ${pod.status.podIP ?? '?'}` : '';
    deeds.push({ at: lastTransitionTime, who: known.who, what: `${known.text[language]}${address}` });
  }
  const waiting = pod.status.conditions?.find(({ status, message }) => status !== 'True' && message);
  return [
    `${namespace}/${name}: ${pod.status.phase}${pod.spec.nodeName ? `, ${pod.spec.nodeName}` : ''}`,
    ...sortTimeline(deeds).map(lineOf),
    ...(waiting ? [`... ${waiting.message}`] : []),
  ].join('\n');
};
