import { randomBytes } from 'node:crypto';
import { imageReference } from '../lib/binaries/versions.ts';
import { type Api, ApiError, apiOf } from '../lib/cluster/api.ts';
import { requestText } from '../lib/cluster/http.ts';
import { ensureImages } from '../lib/cluster/images.ts';
import { readManifest } from '../lib/cluster/manifest.ts';
import { applyObjects, deleteObjects, deploymentIsAvailable, nodeIsReady } from '../lib/cluster/objects.ts';
import { type Check, check, until, waitFor } from '../lib/engine/check.ts';
import { Unhealthy } from '../lib/engine/errors.ts';
import type { Context, Step } from '../lib/engine/step.ts';
import { kubeconfigFile, paths } from '../lib/host/paths.ts';
import { run } from '../lib/host/run.ts';

const namespace = 'hardway-smoke';
/** Seconds that a proof may take: what it rests on has been found healthy. */
const timeoutSeconds = 120;

const kubectl = async (...args: string[]): Promise<string> =>
  (await run(`${paths.bin}/kubectl`, ['--kubeconfig', kubeconfigFile('admin'), '-n', namespace, ...args])).stdout;

const podNames = async (api: Api): Promise<readonly string[]> => {
  const { items } = await api.get<{ items: { metadata: { name: string } }[] }>(
    `/api/v1/namespaces/${namespace}/pods?labelSelector=app%3Dweb`,
  );
  return items.map(({ metadata }) => metadata.name);
};

const firstPod = async (api: Api): Promise<string> => {
  const [name] = await podNames(api);
  if (!name) throw new Error('there is no Pod of web');
  return name;
};

/** The answer must come from a Pod of the Deployment: each answers with its own name. */
const mustBeOneOf = (names: readonly string[], answer: string): void => {
  if (!names.includes(answer.trim()))
    throw new Error(`the answer was ${JSON.stringify(answer.trim())}, not the name of a Pod`);
};

const podsAreThere = check('a Deployment gets its two Pods', (context: Context) =>
  deploymentIsAvailable(context, namespace, 'web'),
);

/** What can be proved at the same time once the Pods are there. */
const proofChecks = (word: string): readonly Check<Context>[] => [
  check('the node reaches them through the ClusterIP', async (context) => {
    const api = await apiOf(context);
    const service = await api.get<{ spec: { clusterIP: string } }>(`/api/v1/namespaces/${namespace}/services/web`);
    mustBeOneOf(
      await podNames(api),
      await requestText(`http://${service.spec.clusterIP}/hostname`, { timeoutMs: 2000 }),
    );
  }),

  check('a Pod finds the Service by its name and gets HTTP through it', async (context) => {
    const api = await apiOf(context);
    const names = await podNames(api);
    const host = `web.${namespace}.svc.${context.lab.domain}`;
    // agnhost asks from inside its Pod: through the Pod's resolv.conf, CoreDNS and the Service
    const path = `/api/v1/namespaces/${namespace}/pods/${names[0]}:8080/proxy/dial?host=${host}&port=80&protocol=http&request=hostname&tries=1`;
    const { responses, errors } = await api.get<{ responses?: string[]; errors?: string[] }>(path);
    if (!responses?.[0]) throw new Error(errors?.[0] ?? `no answer from ${host}`);
    mustBeOneOf(names, responses[0]);
  }),

  check('kubectl exec runs a command in a Pod', async (context) => {
    const pod = await firstPod(await apiOf(context));
    const said = await kubectl('exec', pod, '--', '/agnhost', 'connect', `web.${namespace}:80`, '--timeout=2s');
    if (said.trim() !== '') throw new Error(said.trim());
  }),

  check('kubectl logs shows what a Pod wrote', async (context) => {
    const said = await kubectl('logs', await firstPod(await apiOf(context)));
    if (!said.includes('8080')) throw new Error(`the log does not tell of port 8080: ${said.trim().slice(0, 200)}`);
  }),

  check('a Secret is read back', async (context) => {
    const secret = await (await apiOf(context)).get<{ data: { word: string } }>(
      `/api/v1/namespaces/${namespace}/secrets/word`,
    );
    if (Buffer.from(secret.data.word, 'base64').toString() !== word)
      throw new Error('it is not the one that was written');
  }),
];

/** Waits until a proof passes. Throws Unhealthy with its last reason. */
const prove = async (context: Context, proof: Check<Context>): Promise<void> => {
  const failure = await waitFor([proof], context, {
    interval: 50,
    deadline: timeoutSeconds * 1000,
    signal: context.signal,
    waiting: ({ phrase, reason }) => context.progress(`${phrase}: ${reason}`),
    failFast: async () => {},
  });
  if (failure)
    throw new Unhealthy(`smoke: "${failure.phrase}" is not so: ${failure.reason}`, { next: 'hardway check' });
};

const namespaceObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };

/** Throws while a namespace of an earlier smoke test is still there. */
const isGone = async (api: Api): Promise<void> => {
  const left = await api.get(`/api/v1/namespaces/${namespace}`).catch((error: unknown) => error);
  if (!(left instanceof ApiError && left.status === 404)) throw new Error(`the namespace ${namespace} is still there`);
};

export const smoke: Step = {
  id: 'smoke',
  title: 'smoke test',

  async apply(context) {
    const { host, signal } = context;
    if (host.dryRun) return;
    await ensureImages(context);
    const word = randomBytes(12).toString('hex');
    const api = await apiOf(context);
    await api.remove(namespaceObject);
    await until('an earlier smoke test is gone', () => isGone(api), { signal, deadline: timeoutSeconds * 1000 });
    try {
      await applyObjects(context, await readManifest('smoke', { image: imageReference('agnhost'), word }));
      await prove(context, podsAreThere);
      await Promise.all(proofChecks(word).map((proof) => prove(context, proof)));
    } finally {
      await api.remove(namespaceObject);
    }
  },

  async deleteObjects(context) {
    await deleteObjects(context, [namespaceObject]); // of a smoke test that was killed
  },

  checks: [
    check('the Node is Ready', nodeIsReady),
    check('CoreDNS is Available', (context) => deploymentIsAvailable(context, 'kube-system', 'coredns')),
  ],
};
