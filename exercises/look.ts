import { imageReference } from '../lib/binaries/versions.ts';
import { type Api, apiOf, type KubeObject } from '../lib/cluster/api.ts';
import { requestText } from '../lib/cluster/http.ts';
import { nodeIsReady } from '../lib/cluster/objects.ts';
import { whyPodsAreNotReady } from '../lib/cluster/pods.ts';
import { until } from '../lib/engine/check.ts';
import type { Context } from '../lib/engine/step.ts';
import type { ExerciseCheck } from './exercise.ts';

interface Pod extends KubeObject {
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** Milliseconds in which a new Pod has to be as it should; in a healthy lab that takes about two seconds. */
const podDeadlineMs = 20_000;

/** Returns a name and a label that no other object has, and a container that serves HTTP on port 8080. */
const fresh = ({ lab }: Context) => {
  const name = `practice-${Date.now().toString(36)}`;
  const image = imageReference('agnhost', lab.kubernetes);
  return { name, labels: { practice: name }, containers: [{ name: 'main', image, args: ['netexec'] }] };
};

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
  const { name, labels, containers } = fresh(context);
  const path = `/api/v1/namespaces/default/pods/${name}`;
  await api.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels },
    spec: { terminationGracePeriodSeconds: 0, containers },
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
const newServiceAnswers = (context: Context, signal: AbortSignal): Promise<void> => {
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
const newDeploymentIsObserved = async (context: Context, signal: AbortSignal): Promise<void> => {
  const api = await apiOf(context);
  const { name, labels, containers } = fresh(context);
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'default' },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers } },
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

export const aReadyNode: ExerciseCheck = {
  phrase: { en: 'the Node is Ready', fr: 'le Node est Ready' },
  probe: nodeIsReady,
};

export const aNewPodRuns: ExerciseCheck = {
  phrase: { en: 'a new Pod runs', fr: 'un nouveau Pod tourne' },
  probe: (context, signal) => withNewPod(context, podIsReady, signal),
};

export const aNewServiceAnswers: ExerciseCheck = {
  phrase: { en: 'a new Service leads to its Pod', fr: 'un nouveau Service mène à son Pod' },
  probe: newServiceAnswers,
};

export const aNewDeploymentIsObserved: ExerciseCheck = {
  phrase: { en: 'a new Deployment gets its ReplicaSet', fr: 'un nouveau Deployment reçoit son ReplicaSet' },
  probe: newDeploymentIsObserved,
};
