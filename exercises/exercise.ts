import { imageReference } from '../lib/binaries/versions.ts';
import { type Api, apiOf, type KubeObject } from '../lib/cluster/api.ts';
import { requestText } from '../lib/cluster/http.ts';
import { whyPodsAreNotReady } from '../lib/cluster/pods.ts';
import { type Probe, until } from '../lib/engine/check.ts';
import type { Context } from '../lib/engine/step.ts';
import type { Text } from '../lib/engine/text.ts';
import { readText } from '../lib/host/files.ts';
import { paths } from '../lib/host/paths.ts';

/** A check of an exercise: a phrase for the learner, and a probe that throws why it is not so. */
interface ExerciseCheck {
  readonly phrase: Text;
  readonly probe: Probe<Context>;
}

/** A fault to repair, as a value: everything particular to it. */
export interface Exercise {
  readonly id: string;
  readonly title: Text;
  readonly topics: readonly string[];
  /** 1: one look finds it. 3: what is seen is far from its cause. */
  readonly level: 1 | 2 | 3;
  /** Minutes that somebody takes who knows the topic. */
  readonly minutes: number;
  /** Network that the lab must have, where only one can break in this way. */
  readonly cni?: 'bridge';
  /** Makes the fault. Every change goes through `host`, which records its undo. */
  readonly prepare: (context: Context) => Promise<void>;
  /** What a colleague writes: the symptom, never the cause. */
  readonly ticket: Text;
  /** Returns where to look, what to read, and the line; what was repaired already is left out. */
  readonly hints: (context: Context) => Promise<readonly Text[]>;
  /** What is true when it is repaired. Looked at with new objects, so that every right way counts. */
  readonly solved: readonly ExerciseCheck[];
  /** Files that the repair may change; every other one of the lab must stay as it is. */
  readonly free: readonly string[];
  /** Components that are started again when the fault is taken back. */
  readonly restarts: readonly string[];
  /** Commands of one way to repair it. */
  readonly solution: readonly string[];
  /** What was wrong, how one finds it, and where it happens. */
  readonly explanation: Text;
}

/**
 * Replaces a file of the lab by an edited one, with its mode and owner. The copy that brings it back is in the folder of
 * the exercise. Throws where the edit changes nothing.
 */
export const spoilFile = async ({ host }: Context, path: string, edit: (content: string) => string): Promise<void> => {
  const content = await readText(path);
  const spoilt = edit(content);
  if (spoilt === content) throw new Error(`${path} has not the line that this exercise changes`);
  const name = path.replaceAll('/', '_');
  const [kept, other] = [`${paths.practice}/${name}.kept`, `${paths.practice}/${name}.other`];
  await host.sh(['cp', '--preserve=all', path, kept]);
  await host.writeFile(other, spoilt, 0o600);
  await host.sh(['cp', '--no-preserve=all', other, path], {
    kind: 'run',
    argv: ['cp', '--preserve=all', kept, path],
  });
};

const unitOf = (component: string): string => `${paths.units}/${component}.service`;

/** Replaces a part of a component's unit, and starts the component with it. */
export const spoilUnit = async (context: Context, component: string, right: string, wrong: string): Promise<void> => {
  await spoilFile(context, unitOf(component), (text) => text.replace(right, wrong));
  await context.host.sh(['systemctl', 'daemon-reload']);
  await context.host.sh(['systemctl', 'restart', `${component}.service`]);
};

/** Returns the commands that put the part of a unit right again. */
export const repairUnit = (component: string, right: string, wrong: string): readonly string[] => [
  `sed -i 's#${wrong.replaceAll(/[.*[\]^$\\]/g, '\\$&')}#${right}#' ${unitOf(component)}`,
  'systemctl daemon-reload',
  `systemctl restart ${component}`,
];

/** Returns the files of a unit, which its repair may change: itself, and its drop-ins. */
export const unitFiles = (component: string): readonly string[] => [unitOf(component), `${unitOf(component)}.d`];

/** Replaces a part of a file that a component reads, and starts the component with it. */
export const spoilInput = async (
  context: Context,
  { file, component }: { readonly file: string; readonly component: string },
  right: string,
  wrong: string,
): Promise<void> => {
  await spoilFile(context, file, (text) => text.replace(right, wrong));
  await context.host.sh(['systemctl', 'restart', `${component}.service`]);
};

interface Pod extends KubeObject {
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** Milliseconds in which a new Pod has to be as it should; in a healthy lab that takes about two seconds. */
const podDeadlineMs = 20_000;

/**
 * Makes a Pod that serves HTTP on port 8080, waits until `isRight` stops throwing, and deletes it in any case. Throws the
 * last reason, or why the Pod does not start.
 */
export const withNewPod = async (
  context: Context,
  isRight: (pod: Pod, api: Api) => Promise<void>,
  signal: AbortSignal,
): Promise<void> => {
  const api = await apiOf(context);
  const name = `practice-${Date.now().toString(36)}`;
  const labels = { practice: name };
  const path = `/api/v1/namespaces/default/pods/${name}`;
  const image = imageReference('agnhost', context.lab.kubernetes);
  await api.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image, args: ['netexec'] }] },
  });
  try {
    await until('a new Pod', async () => isRight(await api.get<Pod>(path), api), { signal, deadline: podDeadlineMs });
  } catch (error) {
    const why = await whyPodsAreNotReady(api, 'default', labels).catch(() => undefined);
    throw why && error instanceof Error ? new Error(`${error.message}; ${why}`) : error;
  } finally {
    await api.removeAt(path, { gracePeriodSeconds: 0 });
  }
};

interface Service extends KubeObject {
  readonly spec: { readonly clusterIP: string };
}

/** Throws unless a Service that is made now leads to its Pod. */
export const newServiceAnswers = (context: Context, signal: AbortSignal): Promise<void> => {
  let made: Service | undefined;
  const answers = async (pod: Pod, api: Api): Promise<void> => {
    await podIsReady(pod);
    const { name, labels } = pod.metadata as { name: string; labels: object };
    made ??= (await api.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
    })) as Service;
    await requestText(`http://${made.spec.clusterIP}/hostname`, { timeoutMs: 2000 });
  };
  return withNewPod(context, answers, signal).finally(async () => {
    if (made) await (await apiOf(context)).remove(made);
  });
};

/** Throws unless a Deployment that is made now is taken up by its controller. */
export const newDeploymentIsObserved = async (context: Context, signal: AbortSignal): Promise<void> => {
  const api = await apiOf(context);
  const name = `practice-${Date.now().toString(36)}`;
  const labels = { practice: name };
  const image = imageReference('agnhost', context.lab.kubernetes);
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'default' },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'main', image, args: ['pause'] }] } },
    },
  };
  await api.apply(deployment);
  const isObserved = async (): Promise<void> => {
    const path = `/apis/apps/v1/namespaces/default/replicasets?labelSelector=practice%3D${name}`;
    const { items } = await api.get<{ items: readonly unknown[] }>(path);
    if (items.length === 0) throw new Error('it has no ReplicaSet');
  };
  try {
    await until('a ReplicaSet', isObserved, { signal, deadline: podDeadlineMs });
  } finally {
    await api.remove(deployment, { propagationPolicy: 'Foreground' });
  }
};

/** Throws unless the Pod is Ready. */
export const podIsReady = async ({ status }: Pod): Promise<void> => {
  if (!status.conditions?.some(({ type, status: now }) => type === 'Ready' && now === 'True'))
    throw new Error('it is not Ready');
};
