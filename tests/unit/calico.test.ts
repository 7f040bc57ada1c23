import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { archiveName } from '../../lib/binaries/cache.ts';
import { calicoArchives, calicoManifest, requireCalico, whyNoCalico } from '../../lib/binaries/calico.ts';
import { versions } from '../../lib/binaries/versions.ts';
import type { KubeObject } from '../../lib/cluster/api.ts';
import { calicoObjects } from '../../lib/cluster/calico.ts';
import { readIfThere } from '../../lib/host/files.ts';
import { paths } from '../../lib/host/paths.ts';
import { plugins } from '../../steps/network.ts';
import { plainLab, scratchFolder } from '../fixtures.ts';

interface Probe {
  readonly exec: { readonly command: readonly string[] };
}
interface Container {
  readonly name: string;
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
}
interface Workload extends KubeObject {
  readonly data?: object;
  readonly spec: { readonly template: { readonly spec: { containers: Container[]; initContainers?: Container[] } } };
}

const { version, images } = versions().calico;
const name = `calico-${version}.yaml`;
const places = [join(paths.cache, 'manifests', name), join(import.meta.dirname, '../../../shared/calico', name)];
const text = (await Promise.all(places.map((place) => readIfThere(place)))).find((found) => found !== undefined) ?? '';
const needsManifest = ({ skip }: TestContext): void =>
  skip(
    text === '',
    `Calico's manifest is not there: ${places[0]}; where its site answers: hardway vm up -- --cni calico`,
  );

const idOf = ({ kind, metadata }: KubeObject): string => `${kind} ${metadata.name}`;
const byId = (objects: readonly KubeObject[]) => new Map(objects.map((object) => [idOf(object), object]));
const before = byId(
  parseAllDocuments(text)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null),
);

describe("Calico's manifest, changed for a lab", () => {
  const lab = { ...plainLab, podCIDR: '10.210.0.0/16', cni: 'calico' as const };
  const { definitions, others } = calicoObjects(text, lab, 1400);
  const after = byId([...definitions, ...others]);

  const object = (id: string): Workload => structuredClone(after.get(id)) as Workload;
  const containersOf = (id: string) => object(id).spec.template.spec.containers;
  const nodeContainer = () => containersOf('DaemonSet calico-node')[0] as Container;

  test('holds every object of the published one, the definitions of kinds apart', (context) => {
    needsManifest(context);
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    expect(definitions.map(({ kind }) => kind)).toEqual(Array(23).fill('CustomResourceDefinition'));
  });

  test('gives Pods their network, without a tunnel, through the interface of the Node', (context) => {
    needsManifest(context);
    const env = new Map(nodeContainer().env.map(({ name: variable, value }) => [variable, value]));
    expect(env.get('CALICO_IPV4POOL_CIDR')).toBe('10.210.0.0/16');
    expect(env.get('CALICO_IPV4POOL_IPIP')).toBe('Never');
    expect(env.get('CALICO_IPV4POOL_VXLAN')).toBe('Never');
    expect(env.get('IP_AUTODETECTION_METHOD')).toBe('interface=eth0');
    expect(object('ConfigMap calico-config').data).toMatchObject({ calico_backend: 'vxlan', veth_mtu: '1400' });
  });

  test('names no variable twice', (context) => {
    needsManifest(context);
    const names = nodeContainer().env.map((one) => one.name);
    expect(new Set(names).size).toBe(names.length);
  });

  test('asks nothing of BIRD, and asks often until calico-node and the controllers are ready', (context) => {
    needsManifest(context);
    const { livenessProbe, readinessProbe: ready } = nodeContainer();
    expect(livenessProbe?.exec.command).toEqual(['/bin/calico-node', '-felix-live']);
    expect(ready?.exec.command).toEqual(['/bin/calico-node', '-felix-ready']);
    const often = { periodSeconds: 1, failureThreshold: 300 };
    expect(nodeContainer().startupProbe).toMatchObject({ httpGet: { port: 9099, path: '/readiness' }, ...often });
    const [{ startupProbe, readinessProbe }] = containersOf('Deployment calico-kube-controllers') as [Container];
    expect(startupProbe).toEqual({ ...readinessProbe, ...often });
  });

  test('keeps only the init container that puts the CNI programs in their place, and over none of ours', (context) => {
    needsManifest(context);
    const kept = object('DaemonSet calico-node').spec.template.spec.initContainers;
    expect(kept?.map((one) => one.name)).toEqual(['install-cni']);
    const skipped = kept?.[0]?.env.find((one) => one.name === 'SKIP_CNI_BINARIES')?.value?.split(',') ?? [];
    for (const plugin of plugins) expect(['bridge', 'firewall', ...skipped]).toContain(plugin);
  });

  test('is otherwise what was published', (context) => {
    needsManifest(context);
    const touched = ['ConfigMap calico-config', 'DaemonSet calico-node', 'Deployment calico-kube-controllers'];
    for (const [id, published] of before) if (!touched.includes(id)) expect(after.get(id), id).toEqual(published);

    const changed = [
      ['ConfigMap calico-config', ['calico_backend', 'veth_mtu']],
      ['DaemonSet calico-node', ['env', 'livenessProbe', 'readinessProbe', 'startupProbe']],
      ['Deployment calico-kube-controllers', ['startupProbe']],
    ] as const;
    for (const [id, fields] of changed) expect(without(id, after, fields)).toEqual(without(id, before, fields));
    const { initContainers = [], containers } = (before.get('DaemonSet calico-node') as Workload).spec.template.spec;
    for (const one of object('DaemonSet calico-node').spec.template.spec.initContainers ?? []) {
      const env = one.env.filter((variable) => variable.name !== 'SKIP_CNI_BINARIES');
      expect(initContainers).toContainEqual({ ...one, env });
    }
    const ours = [
      'CALICO_IPV4POOL_CIDR',
      'CALICO_IPV4POOL_IPIP',
      'CALICO_IPV4POOL_VXLAN',
      'IP_AUTODETECTION_METHOD',
      'CLUSTER_TYPE',
      'FELIX_XDPENABLED',
    ];
    const { env } = nodeContainer();
    for (const one of containers[0]?.env ?? []) if (!ours.includes(one.name)) expect(env).toContainEqual(one);
  });
});

/** A copy of an object without these fields of its data or containers. */
const without = (id: string, all: ReadonlyMap<string, KubeObject>, fields: readonly string[]): unknown => {
  const copy = structuredClone(all.get(id)) as Workload;
  const { data = {}, spec } = copy;
  for (const part of [data, ...(spec?.template.spec.containers ?? [])])
    for (const field of fields) Reflect.deleteProperty(part, field);
  if (copy.kind === 'DaemonSet') {
    delete spec.template.spec.initContainers;
    Reflect.deleteProperty((spec.template as { metadata?: object }).metadata ?? {}, 'annotations');
  }
  return copy;
};

describe('Calico from a folder', () => {
  let folder: string;
  beforeAll(async () => {
    const scratch = await scratchFolder();
    folder = scratch.path;
    return scratch.remove;
  });
  const where = (kind: 'dir' | 'go' | 'release') =>
    ({ cache: join(folder, 'cache'), arch: 'amd64', source: { kind, from: folder } }) as const;

  test('a manifest that is not the pinned one is refused, with both checksums', async () => {
    await writeFile(join(folder, name), 'kind: Nonsense\n');
    const reading = calicoManifest(folder, where('dir').source, { report: () => {} });
    await expect(reading).rejects.toMatchObject({ name: 'UserError', message: expect.stringContaining(name) });
    await expect(reading).rejects.toThrow(versions().calico.sha256);
    await rm(join(folder, name));
  });

  test('what is missing is named before anything is done, with --cni bridge', async () => {
    for (const kind of ['go', 'dir'] as const) {
      expect(await whyNoCalico(where(kind))).toContain('Calico');
      const refused = requireCalico(where(kind));
      await expect(refused).rejects.toMatchObject({ name: 'UserError', next: expect.stringContaining('--cni bridge') });
      for (const image of images) await expect(refused).rejects.toThrow(image);
    }
  });

  test('a source that reaches registries is expected to have it', async () => {
    await expect(requireCalico(where('release'))).resolves.toBeUndefined();
  });

  test('archives are found in the folder of the source, and all of it there is enough', async () => {
    await writeFile(join(folder, name), '');
    for (const image of images) await writeFile(join(folder, archiveName(image)), '');
    expect([...(await calicoArchives(where('dir'))).keys()]).toEqual(images);
    expect((await calicoArchives(where('go'))).size).toBe(0);
    expect(await whyNoCalico(where('dir'))).toBeUndefined();
  });
});

test('another MTU starts calico-node anew, which reads it only then', () => {
  const manifest = `{ apiVersion: apps/v1, kind: DaemonSet, metadata: { name: calico-node, namespace: kube-system },
    spec: { template: { metadata: { labels: { k8s-app: calico-node } }, spec: { containers: [{ name: calico-node }] } } } }`;
  const [pods, others] = [1500, 1460].map(
    (mtu) => calicoObjects(manifest, { ...plainLab, cni: 'calico' }, mtu).others[0],
  );
  expect(pods).not.toEqual(others);
  expect(others).toMatchObject({ spec: { template: { metadata: { labels: { 'k8s-app': 'calico-node' } } } } });
});
