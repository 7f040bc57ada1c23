import { calicoManifest } from '../lib/binaries/calico.ts';
import { createTally } from '../lib/binaries/progress.ts';
import { versions } from '../lib/binaries/versions.ts';
import { type Api, apiOf, ifThere, type KubeObject } from '../lib/cluster/api.ts';
import { calicoObjects } from '../lib/cluster/calico.ts';
import { ensureCalicoImages } from '../lib/cluster/images.ts';
import {
  applyObjectsAtOnce,
  deleteObjects,
  deploymentIsAvailable,
  nodeCondition,
  nodeIsReady,
} from '../lib/cluster/objects.ts';
import { whyPodsAreNotReady } from '../lib/cluster/pods.ts';
import { check, deferredCheck, until } from '../lib/engine/check.ts';
import { overlap } from '../lib/engine/networks.ts';
import type { Context, Step } from '../lib/engine/step.ts';
import { mtuOf } from '../lib/host/net.ts';
import { paths, system } from '../lib/host/paths.ts';
import { kubectl } from './by-hand.ts';
import { mtuCheck, networkTeaching, nodeTurnsReady, observationsWith, plugins } from './network.ts';
import { atLeast, observe } from './observe.ts';

/** Configuration of the CNI. */
const conflist = `${system.cniConfig}/10-calico.conflist`;

const definitionsPath = '/apis/crd.projectcalico.org/v1';
const definitionsOfKinds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

interface Pool {
  readonly spec: { readonly cidr: string; readonly ipipMode: string; readonly vxlanMode: string };
}

/**
 * Marks the Node's network as unavailable, so that it gets no Pods. A Node turns Ready as soon as the CNI's file is
 * written, before calico-node can serve; Pods that start in between fail and are retried only seconds later.
 * calico-node itself removes this condition once it serves, as it does for the routes of a cloud.
 */
const holdPodsBack = async (context: Context): Promise<void> => {
  const api = await apiOf(context);
  if (
    await isReady(context).then(
      () => true,
      () => false,
    )
  )
    return;
  const now = new Date().toISOString();
  const condition = {
    type: 'NetworkUnavailable',
    status: 'True',
    reason: 'CalicoIsNotServing',
    message: 'hardway holds Pods back until calico-node serves',
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  };
  await api.patchAt(`/api/v1/nodes/${context.lab.node.name}/status`, { status: { conditions: [condition] } });
};

const definitionsAreServed = async (context: Context): Promise<void> => {
  const { resources } = await (await apiOf(context)).get<{ resources: { kind: string }[] }>(definitionsPath);
  for (const kind of ['IPPool', 'FelixConfiguration', 'ClusterInformation', 'IPAMBlock']) {
    if (!resources.some((resource) => resource.kind === kind)) throw new Error(`the kind ${kind} is not served yet`);
  }
};

const isReady = async (context: Context): Promise<void> => {
  const api = await apiOf(context);
  const { status } = await api.get<{
    status: { numberReady?: number; desiredNumberScheduled?: number; updatedNumberScheduled?: number };
  }>('/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node');
  const { numberReady = 0, desiredNumberScheduled: desired = 0, updatedNumberScheduled: updated = 0 } = status;
  if (numberReady > 0 && updated >= desired) return;
  const why = await whyPodsAreNotReady(api, 'kube-system', { 'k8s-app': 'calico-node' });
  throw new Error(`${numberReady} of ${desired} calico-node are ready${why ? `; ${why}` : ''}`);
};

/** Returns Calico's objects for this lab: its CustomResourceDefinitions, and the objects that need them. */
const objects = async ({ lab, signal, progress, source }: Context) => {
  const tally = createTally();
  const manifest = await calicoManifest(paths.cache, source, {
    report: (what) => progress(tally({ ...what, kind: 'manifests' })),
    signal,
  });
  return calicoObjects(manifest, lab, await mtuOf(lab.node.interface));
};

const route = observe(
  {
    en: 'each has a route of its own, to its own interface on this machine: there is no bridge',
    fr: 'chacun a sa propre route, vers sa propre interface sur cette machine : il n’y a pas de pont',
  },
  'ip route | grep cali',
  atLeast(2, / dev cali\w+ scope link/),
);

const namespace = '/namespaces/kube-system';
const workloads = [
  `/apis/apps/v1${namespace}/daemonsets/calico-node`,
  `/apis/apps/v1${namespace}/deployments/calico-kube-controllers`,
];
/** API collections of what controllers make of the workloads; all of these objects have the label k8s-app. */
const madeOfWorkloads = [`/apis/apps/v1${namespace}/replicasets`, `/api/v1${namespace}/pods`];
const labels = `labelSelector=${encodeURIComponent('k8s-app in (calico-node,calico-kube-controllers)')}`;

/** Deletes the objects at these paths, as the API server lists them; throws while one is left. */
const clear = async (
  api: Api,
  collections: readonly string[],
  isOurs: (object: KubeObject) => boolean,
): Promise<void> => {
  for (const collection of collections) {
    const { items } = await api.get<{ items: KubeObject[] }>(collection);
    const left = items.filter(isOurs).map(({ metadata }) => metadata.name);
    const [path] = collection.split('?');
    // At once: the kubelet that would end its containers stands still, and they are gone.
    for (const name of left) await api.removeAt(`${path}/${name}`, { gracePeriodSeconds: 0 });
    if (left.length > 0) throw new Error(`${left.join(', ')} still there`);
  }
};

/** Removes what calico-node wrote into the Node's status, so that the next network sets it. */
const forgetNode = async (context: Context): Promise<void> => {
  const api = await apiOf(context);
  const path = `/api/v1/nodes/${context.lab.node.name}`;
  const node = await ifThere(api.get<{ metadata: { annotations?: Record<string, string> } }>(path));
  if (!node) return;
  const ours = Object.keys(node.metadata.annotations ?? {}).filter((name) => name.startsWith('projectcalico.org/'));
  await api.patchAt(`${path}/status`, {
    metadata: { annotations: Object.fromEntries(ours.map((name) => [name, null])) },
    status: { conditions: [{ type: 'NetworkUnavailable', $patch: 'delete' }] },
  });
};

export const calico: Step = {
  id: 'network',
  carriesPods: true,
  leaves: {
    mounts: ['/run/calico/', '/sys/fs/bpf'],
    netns: [/^cni-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/],
    links: [/^cali[0-9a-f]{11}$/, /^vxlan(-v6)?\.calico$/, /^wireguard\.cali$/, /^bpf(in|out)\.cali$/],
    routes: [80], // Felix's protocol; one of its routes drops packets to addresses of the pool that no Pod has
    chains: [/^cali-/, /^CNI-/],
    rules: [/^cali:.{16}$/],
    nftTables: [/^calico(-arp)?$/],
    ipsets: [/^cali[46]0/],
    paths: [
      conflist,
      `${system.cniConfig}/calico-kubeconfig`,
      `${system.cniPlugins}/calico`,
      `${system.cniPlugins}/calico-ipam`,
      '/var/lib/cni',
      '/var/lib/calico',
      '/var/log/calico',
      '/run/calico',
      '/run/nodeagent',
    ],
  },
  title: 'network of Pods (Calico)',
  needs: { plugins }, // Calico brings its own plugin and uses some of these
  inputs: async ({ podCIDR, node }) => [versions().calico, podCIDR, node.interface, await mtuOf(node.interface)],

  async apply(context) {
    const { host, signal } = context;
    const { definitions, others } = await objects(context);
    if (host.dryRun) return;
    await applyObjectsAtOnce(context, definitions);
    await until("Calico's kinds are served", () => definitionsAreServed(context), { signal, deadline: 60_000 });
    await ensureCalicoImages(context);
    await holdPodsBack(context);
    await applyObjectsAtOnce(context, others);
  },

  async objects(context) {
    const { definitions, others } = await objects(context);
    return [...definitions, ...others];
  },

  byHand: {
    proofs: ({ node }) => [
      `${kubectl} -n kube-system rollout status daemonset calico-node --timeout=5s`,
      nodeTurnsReady(node.name),
    ],
  },

  // Deletes the workloads and all their Pods first: as long as one can start it makes again what is removed.
  async deleteObjects(context) {
    const api = await apiOf(context);
    const wait = { signal: context.signal, deadline: 30_000 };
    for (const path of workloads) await api.removeAt(path);
    const made = madeOfWorkloads.map((collection) => `${collection}?${labels}`);
    await until('nothing is left of the workloads of Calico', () => clear(api, made, () => true), wait);
    const { definitions, others } = await objects(context);
    await deleteObjects(context, others);
    const kinds = new Set(definitions.map(({ metadata }) => metadata.name));
    await until(
      "Calico's kinds are gone",
      () => clear(api, [definitionsOfKinds], ({ metadata }) => kinds.has(metadata.name)),
      wait,
    );
    await forgetNode(context);
  },

  checks: [
    check('the Node is Ready', nodeIsReady),
    mtuCheck(conflist), // calico-node writes it when it starts
    check('calico-node has said that the network is there', async (context) => {
      const condition = await nodeCondition(context, 'NetworkUnavailable');
      if (condition?.status !== 'False')
        throw new Error(condition?.message ?? 'the Node has no condition NetworkUnavailable');
    }),
    check('the pool of addresses is the one asked for, without a tunnel', async (context) => {
      const { items } = await (await apiOf(context)).get<{ items: Pool[] }>(`${definitionsPath}/ippools`);
      const pool = items.find(({ spec }) => spec.cidr === context.lab.podCIDR);
      if (!pool)
        throw new Error(
          `the pools are ${items.map(({ spec }) => spec.cidr).join(', ') || 'none'}, not ${context.lab.podCIDR}`,
        );
      const { ipipMode, vxlanMode } = pool.spec;
      if (ipipMode !== 'Never' || vxlanMode !== 'Never')
        throw new Error(`it tunnels: IPIP ${ipipMode}, VXLAN ${vxlanMode}`);
    }),
    // Pods get their network once calico-node serves; that the kubelet's probe has seen it can wait. No Pod needs the
    // controllers, which clean up after deleted Pods and Nodes.
    deferredCheck('calico-node is ready', isReady),
    deferredCheck('calico-kube-controllers is Available', (context) =>
      deploymentIsAvailable(context, 'kube-system', 'calico-kube-controllers'),
    ),
    check('a Pod has an address of the pool', async (context) => {
      const { items } = await (await apiOf(context)).get<{ items: { status: { podIP?: string } }[] }>(
        '/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcalico-kube-controllers',
      );
      const address = items.find(({ status }) => status.podIP)?.status.podIP;
      if (!address || !overlap(`${address}/32`, context.lab.podCIDR))
        throw new Error(`its address is ${address ?? 'not there yet'}`);
    }),
  ],

  teaching: networkTeaching,
  observations: (lab) => observationsWith(route, lab),
};
