import { imageReference } from '../lib/binaries/versions.ts';
import { apiOf, ifThere, type KubeObject } from '../lib/cluster/api.ts';
import { manifestText, readManifest } from '../lib/cluster/manifest.ts';
import { applyObjects } from '../lib/cluster/objects.ts';
import { until } from '../lib/engine/check.ts';
import { UserError } from '../lib/engine/errors.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Context, DemoPart, Step } from '../lib/engine/step.ts';
import { paths } from '../lib/host/paths.ts';

const label = 'hardway/demo';
const deployments = '/apis/apps/v1/namespaces/default/deployments';
export const services = '/api/v1/namespaces/default/services';
export const ingresses = '/apis/networking.k8s.io/v1/namespaces/default/ingresses';
const events = '/api/v1/namespaces/default/events';
/**
 * API collections of the demo objects and of what controllers make of them. Owners before the objects that they own.
 */
const collections = [
  ingresses,
  services,
  deployments,
  '/apis/apps/v1/namespaces/default/replicasets',
  '/api/v1/namespaces/default/pods',
];

/** The Deployment web, with which the demo begins. */
export const web: DemoPart = { manifest: 'web', collection: deployments };

/** Lists the Pods of the Deployment web. */
export const webPods = 'kubectl get pods -l app=web';
/** Connects to `target` from a Pod of web. */
export const fromPod = (target: string): string =>
  `kubectl exec deploy/web -- /agnhost connect ${target} --timeout=3s && echo connected`;
/** Lists the rules of kube-proxy that choose a Pod for the Service web. */
export const chainOfWeb = "iptables-save -t nat | grep -- '-A KUBE-SVC-.*default/web '";

/** Returns the path of a demo object's manifest, for the learner. */
export const demoFile = ({ manifest }: DemoPart): string => `${paths.demo}/${manifest}.yaml`;

const variables = ({ kubernetes }: Lab) => ({ image: imageReference('agnhost', kubernetes) });

type Labelled = KubeObject & { readonly metadata: { readonly labels?: Readonly<Record<string, string>> } };

/** Returns the object called web, whether or not it carries our label; undefined where there is none. */
const objectOf = async (context: Context, { collection }: DemoPart): Promise<Labelled | undefined> => {
  const api = await apiOf(context);
  return ifThere(api.get<Labelled>(`${collection}/web`));
};

/** Returns a message, with the command that helps, when the Deployment web is missing; else undefined. */
export const demoIsThere = async (context: Context): Promise<string | undefined> =>
  (await objectOf(context, web))
    ? undefined
    : `the Deployment web is not there: somebody deleted it. The way back: kubectl apply -f ${demoFile(web)}`;

/** Writes the manifest of a demo object for the learner. */
export const writeDemo =
  (part: DemoPart) =>
  async ({ host, lab }: Context): Promise<void> => {
    await host.makeDir(paths.demo);
    await host.writeFile(demoFile(part), await manifestText(part.manifest, variables(lab)));
  };

/**
 * Deletes the demo objects: everything with their label. Pods go without a grace period, because perhaps no kubelet is
 * there to stop them. Waits until they are gone. Throws at once when the API server does not answer.
 */
export const removeDemo = async (context: Context): Promise<void> => {
  const api = await apiOf(context);
  const left = async (): Promise<readonly { path: string; name: string }[]> => {
    const found = await Promise.all(
      collections.map(async (path) => {
        const { items } = await api.get<{ items: KubeObject[] }>(`${path}?labelSelector=${encodeURIComponent(label)}`);
        return items.map(({ metadata }) => ({ path, name: metadata.name }));
      }),
    );
    return found.flat();
  };
  const look = async () => {
    const objects = await left();
    for (const { path, name } of objects) await api.removeAt(`${path}/${name}`, { gracePeriodSeconds: 0 });
    if (objects.length > 0) throw new Error(`${objects.map(({ name }) => name).join(', ')} are still there`);
  };
  if ((await left()).length === 0) return;
  await until('the objects of the story are gone', look, { signal: context.signal, deadline: 60_000 });
};

/** Deletes old Events: some observations assert that there are none. */
const deleteEvents = async (context: Context): Promise<void> => {
  const api = await apiOf(context);
  const { items } = await api.get<{ items: (KubeObject & { readonly involvedObject: { readonly name: string } })[] }>(
    events,
  );
  const ours = items.filter(({ involvedObject: { name } }) => name === 'web' || name.startsWith('web-'));
  for (const { metadata } of ours) await api.removeAt(`${events}/${metadata.name}`);
};

/** Prepares the demo: writes its manifests and deletes the objects and Events of an earlier one. */
export const beginDemo = async (context: Context): Promise<void> => {
  const there = await objectOf(context, web);
  if (there && !(label in (there.metadata.labels ?? {})))
    throw new UserError(
      'the story needs a Deployment web in the namespace default, and there is one that is not its own',
      'hardway up without --observe and --pause; or delete it: kubectl delete deployment web',
    );
  await removeDemo(context);
  await deleteEvents(context);
  await writeDemo(web)(context);
};

/** Re-creates the demo objects of these steps that are missing; returns the files of those. */
export const ensureDemo = async (
  context: Context,
  steps: readonly Pick<Step, 'demo'>[],
): Promise<readonly string[]> => {
  const missing: string[] = [];
  for (const part of steps.flatMap(({ demo }) => demo ?? [])) {
    await writeDemo(part)(context);
    if (await objectOf(context, part)) continue;
    if (part === web) await deleteEvents(context);
    await applyObjects(context, await readManifest(part.manifest, variables(context.lab)));
    missing.push(demoFile(part));
  }
  return missing;
};
