import { parseAllDocuments } from 'yaml';
import type { Lab } from '../engine/lab.ts';
import type { KubeObject } from './api.ts';

interface Variable {
  readonly name: string;
  readonly value?: string;
}
interface Probe {
  readonly exec: { readonly command: readonly string[] };
  readonly [field: string]: unknown;
}
interface Container {
  readonly name: string;
  readonly env?: readonly Variable[];
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly [field: string]: unknown;
}
interface Workload extends KubeObject {
  readonly spec: {
    readonly template: {
      readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> };
      readonly spec: { readonly initContainers?: readonly Container[]; readonly containers: readonly Container[] };
    };
  };
}

/**
 * Returns Calico's variables for one node on one network: no tunnel, no BGP, an address from the interface of the Node.
 */
const settings = ({ podCIDR, node }: Lab): Readonly<Record<string, string>> => ({
  CALICO_IPV4POOL_CIDR: podCIDR,
  CALICO_IPV4POOL_IPIP: 'Never',
  CALICO_IPV4POOL_VXLAN: 'Never',
  IP_AUTODETECTION_METHOD: `interface=${node.interface}`,
  CLUSTER_TYPE: 'k8s',
  FELIX_XDPENABLED: 'false',
});

/** Replaces the variables of these names and appends the missing ones. */
const withSettings = (env: readonly Variable[], wanted: Readonly<Record<string, string>>): readonly Variable[] => [
  ...env.map((one) => (one.name in wanted ? { name: one.name, value: wanted[one.name] ?? '' } : one)),
  ...Object.entries(wanted)
    .filter(([name]) => !env.some((one) => one.name === name))
    .map(([name, value]) => ({ name, value })),
];

const withoutBird = (probe: Probe): Probe => ({
  ...probe,
  exec: { command: probe.exec.command.filter((word) => !word.startsWith('-bird')) },
});

/**
 * Adds a startup probe that asks every second until the container is ready for the first time; then the readiness probe
 * asks as seldom as the manifest says.
 */
const withStartupProbe = (container: Container): Container =>
  container.readinessProbe
    ? { ...container, startupProbe: { ...container.readinessProbe, periodSeconds: 1, failureThreshold: 300 } }
    : container;

/**
 * Readiness probe of Felix alone, without BIRD. The kubelet asks it over HTTP: the manifest's probe starts a program of
 * 100 MB every second.
 */
const felixIsReady = {
  httpGet: { host: 'localhost', port: 9099, path: '/readiness' },
  periodSeconds: 1,
  failureThreshold: 300,
};

const nodeContainer =
  (lab: Lab) =>
  (container: Container): Container => {
    const { readinessProbe, livenessProbe, env = [] } = container;
    return {
      ...container,
      env: withSettings(env, settings(lab)),
      startupProbe: felixIsReady,
      ...(readinessProbe && { readinessProbe: withoutBird(readinessProbe) }),
      ...(livenessProbe && { livenessProbe: withoutBird(livenessProbe) }),
    };
  };

/**
 * Keeps Calico's init container from replacing the CNI plugins that are here and from copying those that nothing uses.
 */
const installContainer = (container: Container): Container => ({
  ...container,
  env: withSettings(container.env ?? [], { SKIP_CNI_BINARIES: 'flannel,host-local,loopback,portmap,tuning' }),
});

/**
 * Changes the containers of a workload and keeps only the init container that installs the CNI plugin: the others are
 * for clusters that had another network, or that use eBPF.
 */
const withContainers = (object: Workload, change: (container: Container) => Container): Workload => {
  const { spec } = object.spec.template;
  const initContainers = spec.initContainers?.filter(({ name }) => name === 'install-cni').map(installContainer);
  return {
    ...object,
    spec: {
      ...object.spec,
      template: {
        ...object.spec.template,
        spec: { ...spec, containers: spec.containers.map(change), ...(initContainers && { initContainers }) },
      },
    },
  };
};

/** Notes the MTU in the Pods of calico-node, which read it when they start: with another one they are started anew. */
const withMtu = (object: Workload, mtu: number): Workload => {
  const { spec } = object;
  const annotations = { ...spec.template.metadata?.annotations, 'hardway/veth-mtu': String(mtu) };
  return {
    ...object,
    spec: { ...spec, template: { ...spec.template, metadata: { ...spec.template.metadata, annotations } } },
  };
};

const changed = (object: KubeObject, lab: Lab, mtu: number): KubeObject => {
  const { kind, metadata } = object;
  if (kind === 'ConfigMap' && metadata.name === 'calico-config') {
    return { ...object, data: { ...(object['data'] as object), calico_backend: 'vxlan', veth_mtu: String(mtu) } };
  }
  if (kind === 'DaemonSet') return withMtu(withContainers(object as Workload, nodeContainer(lab)), mtu);
  if (kind === 'Deployment') return withContainers(object as Workload, withStartupProbe);
  return object;
};

/**
 * Returns the objects of Calico's manifest, changed for this lab. `mtu` (bytes) is that of the Node's interface;
 * without a tunnel Pods use it whole. CustomResourceDefinitions come first, because calico-node looks for them when it
 * starts.
 */
export const calicoObjects = (manifest: string, lab: Lab, mtu: number) => {
  const objects = parseAllDocuments(manifest)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null)
    .map((object) => changed(object, lab, mtu));
  const isDefinition = ({ kind }: KubeObject): boolean => kind === 'CustomResourceDefinition';
  return { definitions: objects.filter(isDefinition), others: objects.filter((object) => !isDefinition(object)) };
};
