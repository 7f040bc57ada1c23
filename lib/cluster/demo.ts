import { imageReference } from '../binaries/versions.ts';
import { until } from '../engine/check.ts';
import { UserError } from '../engine/errors.ts';
import type { Context } from '../engine/step.ts';
import { paths } from '../host/paths.ts';
import { ApiError, apiOf, type KubeObject } from './api.ts';
import { manifestText, readManifest } from './manifest.ts';
import { inCluster } from './objects.ts';

/** The objects of the story, in the order in which it needs them; each is a file that a learner can apply too. */
const parts = ['web', 'web-service'] as const;

/** Where a learner finds the manifest. */
export const demoFile = (part: (typeof parts)[number]): string => `${paths.demo}/${part}.yaml`;

const label = 'hardway/demo';
const collections = [
  '/apis/apps/v1/namespaces/default/deployments',
  '/apis/apps/v1/namespaces/default/replicasets',
  '/api/v1/namespaces/default/pods',
  '/api/v1/namespaces/default/services',
];

const variables = () => ({ image: imageReference('agnhost') });

type Labelled = KubeObject & { readonly metadata: { readonly labels?: Readonly<Record<string, string>> } };

const deployment = async (context: Context): Promise<Labelled | undefined> => {
  const api = await apiOf(context);
  return api.get<Labelled>(`${collections[0]}/web`).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  });
};

/** Where the Deployment of the story is gone: that it is, and how to get it back; else undefined. */
export const demoIsThere = async (context: Context): Promise<string | undefined> =>
  (await deployment(context))
    ? undefined
    : `the Deployment web is not there: somebody deleted it. The way back: kubectl apply -f ${demoFile('web')}`;

/** Writes the manifests of the story where the learner finds them. */
export const writeDemo = async (context: Context): Promise<void> => {
  await context.host.makeDir(paths.demo);
  for (const part of parts) await context.host.writeFile(demoFile(part), await manifestText(part, variables()));
};

/**
 * Removes what the story made: everything with its label, Pods without a grace period, as perhaps nobody is there to
 * stop them. Waits until they are gone.
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
  await until('the objects of the story are gone', look, { signal: context.signal, deadline: 60_000 });
};

/** Begins the story: its manifests are written, and nothing of an earlier telling is left in the cluster. */
export const beginDemo = async (context: Context): Promise<void> => {
  const there = await deployment(context);
  if (there && !(label in (there.metadata.labels ?? {})))
    throw new UserError(
      'the story needs a Deployment web in the namespace default, and there is one that is not its own',
      'hardway up without --observe and --pause; or delete it: kubectl delete deployment web',
    );
  await removeDemo(context);
  await writeDemo(context);
};

/** Puts back what of the story is missing; the names of what was. */
export const ensureDemo = async (context: Context, withService: boolean): Promise<readonly string[]> => {
  const api = await apiOf(context);
  await writeDemo(context);
  const missing: string[] = [];
  for (const part of withService ? parts : (['web'] as const)) {
    const [object] = await readManifest(part, variables());
    if (!object) continue;
    const path = `${object.kind === 'Service' ? collections[3] : collections[0]}/web`;
    const there = await api.get(path).then(
      () => true,
      (error: unknown) => {
        if (error instanceof ApiError && error.status === 404) return false;
        throw error;
      },
    );
    if (there) continue;
    await inCluster(context, [object]);
    missing.push(demoFile(part));
  }
  return missing;
};
