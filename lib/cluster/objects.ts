import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, isBug, reasonOf, Unhealthy, UserError } from '../engine/errors.ts';
import type { Lab } from '../engine/lab.ts';
import type { Context } from '../engine/step.ts';
import { readText, sha256 } from '../host/files.ts';
import { mtuOf } from '../host/net.ts';
import { certFile } from '../host/paths.ts';
import { blocksOf, firstBlock } from '../pki/pem.ts';
import { type Api, apiOf, ifThere, type KubeObject } from './api.ts';
import { whyPodsAreNotReady } from './pods.ts';

interface Workload extends KubeObject {
  readonly spec: { readonly template: { readonly metadata: { readonly annotations?: object } } };
}

/**
 * Adds a checksum to the Pod template of a workload, of what a Pod takes only when it starts: another one brings new
 * Pods.
 */
export const withStart = (object: KubeObject, start: string): KubeObject => {
  if (object.kind !== 'Deployment' && object.kind !== 'DaemonSet') return object;
  const { spec } = object as Workload;
  const { metadata } = spec.template;
  const annotations = { ...metadata.annotations, 'hardway/start': sha256(start).slice(0, 16) };
  return { ...object, spec: { ...spec, template: { ...spec.template, metadata: { ...metadata, annotations } } } };
};

/**
 * Returns what a Pod takes only when it starts: the cluster's CA, a token signed with the service-account key, the name
 * servers of this machine, and the MTU.
 */
const startOfPods = async ({ node, machine }: Lab): Promise<string> => {
  const [ca, tokens, mtu] = await Promise.all([
    readText(certFile('ca')),
    readText(certFile('service-account')),
    mtuOf(node.interface),
  ]);
  // In a rotation a CA's file has two in turn, and that of the tokens' keys first the one that signs.
  return [blocksOf(ca).toSorted().join(''), firstBlock(tokens), ...(machine.nameServers ?? []), mtu].join('\n');
};

const withStarts = async (lab: Lab, objects: readonly KubeObject[]): Promise<readonly KubeObject[]> => {
  const start = await startOfPods(lab);
  return objects.map((object) => withStart(object, start));
};

/** Tries of an apply, and milliseconds between them. A machine with much to do may leave one request without an answer. */
const tries = { count: 4, pauseMs: 1000 };

/** Tells whether the same request may succeed later: nobody answered, or the server says that it has too much to do. */
const isPassing = (error: unknown): boolean =>
  error instanceof ApiError ? error.status === 429 || error.status >= 500 : !isBug(error);

/**
 * Applies an object, and once more as long as what fails is passing: applied twice it is the same. A check has no need of
 * that, as it is repeated itself.
 */
export const applyOne = async (api: Pick<Api, 'apply'>, object: KubeObject, signal: AbortSignal): Promise<void> => {
  for (let left = tries.count - 1; ; left -= 1) {
    try {
      await api.apply(object);
      return;
    } catch (error) {
      if (left === 0 || !isPassing(error)) throw error;
      await sleep(tries.pauseMs, undefined, { signal });
    }
  }
};

/**
 * Applies objects (server-side apply) in their order. The ledger has no entry for them: they live in etcd and end with
 * it. Throws ApiError with the server's own message and the object's name.
 */
export const applyObjects = async (context: Context, objects: readonly KubeObject[]): Promise<void> => {
  if (context.host.dryRun) return;
  const api = await apiOf(context);
  for (const object of await withStarts(context.lab, objects)) {
    await applyOne(api, object, context.signal).catch((error: unknown) => {
      throw new Error(refusal(object, error));
    });
  }
};

const refusal = ({ kind, metadata }: KubeObject, error: unknown): string =>
  `${kind} ${metadata.name}: ${reasonOf(error)}`;

/**
 * Applies objects that do not depend on one another, all at once. Throws Unhealthy that lists, object by object, what
 * the API server refused.
 */
export const applyObjectsAtOnce = async (context: Context, objects: readonly KubeObject[]): Promise<void> => {
  if (context.host.dryRun) return;
  const api = await apiOf(context);
  const outcomes = await Promise.all(
    (await withStarts(context.lab, objects)).map((object) =>
      applyOne(api, object, context.signal).then(
        () => [],
        (error: unknown) => [refusal(object, error)],
      ),
    ),
  );
  const refused = outcomes.flat();
  if (refused.length > 0)
    throw new Unhealthy(`the API server refused:\n  ${refused.join('\n  ')}`, { next: 'hardway logs kube-apiserver' });
};

/** Deletes objects, the last one first; a missing one is no error. */
export const deleteObjects = async (context: Context, objects: readonly KubeObject[]): Promise<void> => {
  const api = await apiOf(context);
  for (const object of [...objects].reverse()) await ifThere(api.remove(object)); // its kind may be gone as well
};

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
}

interface Deployment {
  readonly metadata: { readonly generation: number };
  readonly spec: {
    readonly replicas: number;
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
  };
  readonly status: {
    readonly conditions?: readonly Condition[];
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
  };
}

/**
 * Throws unless every replica of the Deployment is available and none of an older version is left. The message says why
 * one of its Pods is not ready.
 */
export const deploymentIsAvailable = async (context: Context, namespace: string, name: string): Promise<void> => {
  const api = await apiOf(context);
  const { metadata, spec, status } = await api.get<Deployment>(
    `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`,
  );
  if ((status.observedGeneration ?? 0) < metadata.generation) throw new Error(`${name} has not been looked at yet`);
  const { replicas = 0, updatedReplicas = 0, availableReplicas: available = 0 } = status;
  if (available >= spec.replicas && updatedReplicas >= spec.replicas && replicas === updatedReplicas) return;
  const failure = status.conditions?.find(({ type, status: now }) => type === 'ReplicaFailure' && now === 'True');
  const why = failure?.message ?? (await whyPodsAreNotReady(api, namespace, spec.selector.matchLabels));
  throw new Error(`${available} of ${spec.replicas} Pods of ${name} available${why ? `; ${why}` : ''}`);
};

/** Returns the conditions of this machine's Node; none before its kubelet has written them. */
export const nodeConditions = async (context: Context): Promise<readonly Condition[]> => {
  const api = await apiOf(context);
  const { status } = await api.get<{ status: { conditions?: readonly Condition[] } }>(
    `/api/v1/nodes/${context.lab.node.name}`,
  );
  return status.conditions ?? [];
};

/** Returns a condition of this machine's Node; undefined where it has none of that type. */
export const nodeCondition = async (context: Context, wanted: string): Promise<Condition | undefined> =>
  (await nodeConditions(context)).find(({ type }) => type === wanted);

/** Throws unless the Node is Ready. The message is the kubelet's. */
export const nodeIsReady = async (context: Context): Promise<void> => {
  const ready = await nodeCondition(context, 'Ready');
  if (ready?.status !== 'True') throw new Error(ready?.message ?? 'the Node has no conditions yet');
};

/** Finds an object by name among those of its namespace. Throws UserError that lists what there is. */
export const named = <T extends { readonly metadata: { readonly name: string } }>(
  kind: string,
  items: readonly T[],
  name: string,
  namespace: string,
): T => {
  const found = items.find(({ metadata }) => metadata.name === name);
  if (found) return found;
  throw new UserError(
    `there is no ${kind} ${name} in the namespace ${namespace}`,
    `one of: ${items.map(({ metadata }) => metadata.name).join(', ') || 'none'}; -n for another namespace`,
  );
};
