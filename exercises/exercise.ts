import { type Api, apiOf, type KubeObject } from '../lib/cluster/api.ts';
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
 * Makes a Pod, waits until `isRight` stops throwing, and deletes it in any case. Throws the last reason, or why the Pod
 * does not start.
 */
export const withNewPod = async (
  context: Context,
  image: string,
  isRight: (pod: Pod, api: Api) => Promise<void>,
  signal: AbortSignal,
): Promise<void> => {
  const api = await apiOf(context);
  const name = `practice-${Date.now().toString(36)}`;
  const labels = { practice: name };
  const path = `/api/v1/namespaces/default/pods/${name}`;
  await api.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image, args: ['pause'] }] },
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

/** Throws unless the Pod is Ready. */
export const podIsReady = async ({ status }: Pod): Promise<void> => {
  if (!status.conditions?.some(({ type, status: now }) => type === 'Ready' && now === 'True'))
    throw new Error('it is not Ready');
};
