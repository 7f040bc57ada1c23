import { randomBytes } from 'node:crypto';
import { imageReference } from '../lib/binaries/versions.ts';
import { type Api, apiOf } from '../lib/cluster/api.ts';
import { requestText } from '../lib/cluster/http.ts';
import { ensureImages } from '../lib/cluster/images.ts';
import { readManifest } from '../lib/cluster/manifest.ts';
import { applyObjects, deleteObjects, deploymentIsAvailable, nodeIsReady } from '../lib/cluster/objects.ts';
import { supervisorOf } from '../lib/daemons/supervisor.ts';
import { type Check, check, runChecks, until, waitFor } from '../lib/engine/check.ts';
import { ApiError, Unhealthy } from '../lib/engine/errors.ts';
import type { Context, Step } from '../lib/engine/step.ts';
import { kubeconfigFile, paths } from '../lib/host/paths.ts';
import { run } from '../lib/host/run.ts';
import { kubectl } from './by-hand.ts';
import { coreDnsIsAvailable, isLoop, namesAreAnswered } from './coredns.ts';
import { chainOfWeb, webPods } from './demo.ts';
import { kubeScheduler } from './kube-scheduler.ts';
import { act, all, atLeast, lines, observe, says } from './observe.ts';
import { doIt } from './tasks.ts';

const namespace = 'hardway-smoke';
/** Seconds that a proof may take; those by name begin while CoreDNS starts. */
const timeoutSeconds = 240;

const runKubectl = async (args: readonly string[], signal: AbortSignal): Promise<string> => {
  const all = ['--kubeconfig', kubeconfigFile('admin'), '-n', namespace, ...args];
  return (await run(`${paths.bin}/kubectl`, all, { signal })).stdout;
};

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

/** Throws unless an answer is the name of one of the Deployment's Pods: each answers with its own name. */
const mustBeOneOf = (names: readonly string[], answer: string): void => {
  if (!names.includes(answer.trim()))
    throw new Error(`the answer was ${JSON.stringify(answer.trim())}, not the name of a Pod`);
};

const podsAreThere = check('a Deployment gets its two Pods', (context: Context) =>
  deploymentIsAvailable(context, namespace, 'web'),
);

/**
 * A connection opened before kube-proxy has written the Service's rules never succeeds, so it is given up soon and
 * opened again. Once one succeeds, the rules are there for all later proofs.
 */
const isRouted = check('the node reaches them through the ClusterIP', async (context: Context) => {
  const api = await apiOf(context);
  const service = await api.get<{ spec: { clusterIP: string } }>(`/api/v1/namespaces/${namespace}/services/web`);
  mustBeOneOf(
    await podNames(api),
    await requestText(`http://${service.spec.clusterIP}/hostname`, { timeoutMs: 2000, connectTimeoutMs: 150 }),
  );
});

/** Proofs by name: the first one waits for CoreDNS. */
const proofsByName: readonly Check<Context>[] = [
  namesAreAnswered,
  check('a Pod finds the Service by its name and gets HTTP through it', async (context) => {
    const api = await apiOf(context);
    const names = await podNames(api);
    const host = `web.${namespace}.svc.${context.lab.domain}`;
    // agnhost sends the request from its Pod: through the Pod's resolv.conf, CoreDNS and the Service
    const path = `/api/v1/namespaces/${namespace}/pods/${names[0]}:8080/proxy/dial?host=${host}&port=80&protocol=http&request=hostname&tries=1`;
    const { responses, errors } = await api.get<{ responses?: string[]; errors?: string[] }>(path);
    if (!responses?.[0]) throw new Error(errors?.[0] ?? `no answer from ${host}`);
    mustBeOneOf(names, responses[0]);
  }),

  check('kubectl exec runs a command in a Pod', async (context, signal) => {
    const pod = await firstPod(await apiOf(context));
    const command = ['/agnhost', 'connect', `web.${namespace}:80`, '--timeout=2s'];
    const said = await runKubectl(['exec', pod, '--', ...command], signal);
    if (said.trim() !== '') throw new Error(said.trim());
  }),
];

/** Proofs that need no name. */
const otherProofs = (word: string): readonly Check<Context>[] => [
  check('kubectl logs shows what a Pod wrote', async (context, signal) => {
    const said = await runKubectl(['logs', await firstPod(await apiOf(context))], signal);
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

/** Throws Unhealthy when CoreDNS asks itself: it starts again and again, and ends each time. */
const mustNotLoop = async (context: Context): Promise<void> => {
  const [failure] = await runChecks([coreDnsIsAvailable], context);
  if (failure && isLoop(failure.reason))
    throw new Unhealthy(`smoke: ${failure.phrase}: ${failure.reason}`, { next: 'hardway up, once it is mended' });
};

/**
 * Waits until each proof passes, one after the other. Throws Unhealthy with the last reason, and why a check that the
 * proofs rest on does not pass.
 */
const prove = async (context: Context, proofs: readonly Check<Context>[]): Promise<void> => {
  const byName = proofs === proofsByName;
  const failure = await waitFor(proofs, context, {
    interval: 50,
    deadline: timeoutSeconds * 1000,
    signal: context.signal,
    waiting: ({ phrase, reason }) => context.progress(`${phrase}: ${reason}`),
    failFast: async () => {
      if (byName) await mustNotLoop(context);
    },
  });
  if (!failure) return;
  const causes = await runChecks(byName ? [coreDnsIsAvailable] : [], context);
  const reasons = [failure, ...causes].map(({ phrase, reason }) => `"${phrase}" is not so: ${reason}`);
  throw new Unhealthy(`smoke: ${reasons.join('; ')}`, { next: 'hardway check' });
};

const namespaceObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };

/** Throws while a namespace of an earlier smoke test is still there. */
const isGone = async (api: Api): Promise<void> => {
  const left = await api.get(`/api/v1/namespaces/${namespace}`).catch((error: unknown) => error);
  if (!(left instanceof ApiError && left.status === 404)) throw new Error(`the namespace ${namespace} is still there`);
};

/** Throws unless a unit was stopped. kube-scheduler exits with 1 on SIGTERM, which systemd calls failed. */
const stopped = (output: string): void => {
  if (!/^(inactive|failed)$/m.test(output)) throw new Error('it still runs');
};

export const smoke: Step = {
  id: 'smoke',
  title: 'smoke test',
  startAfter: 'network', // its Pods start beside CoreDNS, which only the proofs by name need
  needs: { images: ['agnhost'] }, // the observations of earlier steps use it too
  inputs: ({ kubernetes }) => readManifest('smoke', { image: imageReference('agnhost', kubernetes), word: '' }),

  async apply(context) {
    const { host, lab, signal } = context;
    if (host.dryRun) return;
    await ensureImages(context, 'agnhost');
    const word = randomBytes(12).toString('hex');
    const api = await apiOf(context);
    await api.remove(namespaceObject);
    await until('an earlier smoke test is gone', () => isGone(api), { signal, deadline: timeoutSeconds * 1000 });
    try {
      await applyObjects(
        context,
        await readManifest('smoke', { image: imageReference('agnhost', lab.kubernetes), word }),
      );
      await prove(context, [podsAreThere, isRouted]);
      await Promise.all([proofsByName, otherProofs(word)].map((proofs) => prove(context, proofs)));
    } finally {
      await api.remove(namespaceObject);
    }
  },

  async deleteObjects(context) {
    await deleteObjects(context, [namespaceObject]); // of a smoke test that was killed
  },

  byHand: {
    proofs: ({ cni }) =>
      cni === 'calico'
        ? [`${kubectl} -n kube-system rollout status deployment calico-kube-controllers --timeout=5s`]
        : [],
  },

  checks: [check('the Node is Ready', nodeIsReady), coreDnsIsAvailable],

  teaching: () => ({
    tasks: [
      doIt(
        'three-pods',
        { en: 'Let three Pods of web run, no more.', fr: 'Faites tourner trois Pods de web, pas plus.' },
        {
          hint: 'kubectl scale deployment web --replicas=3',
          command: "kubectl get deployment web -o jsonpath='{.spec.replicas} {.status.readyReplicas}'",
          shows: /^3 3$/m,
        },
      ),
    ],
  }),

  observations: (lab) => [
    act(
      { en: 'from two Pods to four, by one number', fr: 'de deux Pods à quatre, par un seul nombre' },
      'kubectl scale deployment web --replicas=4',
      says('deployment.apps/web scaled'),
    ),
    observe({ en: 'four Pods run', fr: 'quatre Pods tournent' }, webPods, lines(4, / 1\/1 +Running /)),
    observe(
      {
        en: 'one in 4, else one in 3, else one in 2, else the last: a quarter each',
        fr: 'un sur 4, sinon un sur 3, sinon un sur 2, sinon le dernier : un quart chacun',
      },
      chainOfWeb,
      all(says('0.25000000000', '0.333333333', '0.50000000000'), lines(4, / -j KUBE-SEP-/)),
    ),
    act(
      { en: 'a Pod is killed', fr: 'un Pod est tué' },
      'kubectl delete "$(kubectl get pods -l app=web -o name | head -n 1)"',
      says('deleted'),
    ),
    observe(
      {
        en: 'its ReplicaSet has made another, the fifth since the beginning',
        fr: 'son ReplicaSet en a fait un autre, le cinquième depuis le début',
      },
      'kubectl get events --field-selector reason=SuccessfulCreate -o custom-columns=WHO:.source.component,WHAT:.message | grep web-',
      atLeast(5, /^replicaset-controller +Created pod: web-/),
    ),
    observe({ en: 'and four run again', fr: 'et quatre tournent à nouveau' }, webPods, lines(4, / 1\/1 +Running /)),
    act(
      { en: 'the scheduler is stopped', fr: 'le scheduler est arrêté' },
      supervisorOf(lab).typed(kubeScheduler.id).stop,
      stopped,
    ),
    observe(
      {
        en: 'the Pods live on: it only ever chose their Node',
        fr: 'les Pods vivent toujours : il n’a fait que choisir leur Node',
      },
      webPods,
      lines(4, / 1\/1 +Running /),
      { stays: true },
    ),
    act(
      { en: 'but a fifth', fr: 'mais un cinquième' },
      'kubectl scale deployment web --replicas=5',
      says('deployment.apps/web scaled'),
    ),
    observe(
      { en: 'stays Pending', fr: 'reste Pending' },
      webPods,
      all(lines(4, / 1\/1 +Running /), lines(1, / Pending /)),
      { stays: true },
    ),
    act(
      { en: 'until the scheduler is back', fr: 'jusqu’au retour du scheduler' },
      supervisorOf(lab).typed(kubeScheduler.id).start,
      says('active'),
    ),
    observe({ en: 'then it runs', fr: 'alors il tourne' }, webPods, lines(5, / 1\/1 +Running /)),
  ],
};
