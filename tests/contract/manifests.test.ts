import { readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { KubeObject } from '../../lib/cluster/api.ts';
import { readManifest } from '../../lib/cluster/manifest.ts';
import { scratchFolder } from '../fixtures.ts';
import { coldCache, labBinaries, runAlone } from './lab-binaries.ts';

let kubectl = '';
let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeAll(async () => {
  scratch = await scratchFolder();
  kubectl = (await labBinaries()).get('kubectl') ?? '';
}, coldCache);
afterAll(() => scratch.remove());

const variables = {
  dnsAddress: '10.32.0.10',
  domain: 'cluster.local',
  image: 'example.org/image:1',
  forward: '# no name server',
  word: 'secret',
  args: '[netexec]',
};
const names = readdirSync(join(import.meta.dirname, '../../manifests')).map((file) => file.replace('.yaml', ''));

/** kubectl by itself: without a server, and with nobody's kubeconfig. */
const alone = (args: readonly string[], input = '') =>
  runAlone([kubectl, '--kubeconfig=/dev/null', ...args], { input });

interface Podded extends KubeObject {
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly object[] } } };
}

/** The object as kubectl has read it into the type of its kind: a field that the kind does not have is gone. */
const readBack = async (object: KubeObject): Promise<unknown> => {
  const change = object.kind === 'Service' ? ['selector', 'app=other'] : ['image', '*=example.org/other:2'];
  const [what = '', value = ''] = change;
  const { stdout, stderr, code } = await alone(
    ['set', what, '--local', '-f', '-', value, '-o', 'json'],
    JSON.stringify(object),
  );
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
};

/** What `readBack` has changed, to compare the rest. */
const changed = (object: KubeObject): object => {
  if (object.kind === 'Service')
    return { ...object, spec: { ...(object['spec'] as object), selector: { app: 'other' } } };
  const { spec } = object as Podded;
  const containers = spec.template.spec.containers.map((one) => ({ ...one, image: 'example.org/other:2' }));
  return { ...object, spec: { ...spec, template: { ...spec.template, spec: { ...spec.template.spec, containers } } } };
};

describe.each(names)('the real kubectl on the manifest %s', (name) => {
  test('places every object by its group, version, kind and name', async () => {
    const objects = await readManifest(name, variables);
    await mkdir(`${scratch.path}/${name}`);
    await writeFile(`${scratch.path}/${name}/objects.yaml`, objects.map((one) => stringify(one)).join('---\n'));
    await writeFile(`${scratch.path}/${name}/kustomization.yaml`, 'resources: [objects.yaml]\n');
    const { stdout, stderr, code } = await alone(['kustomize', `${scratch.path}/${name}`]);
    expect(code, stderr).toBe(0);
    expect(stdout.match(/^kind: /gm)).toHaveLength(objects.length);
  });

  test('knows each field of its Deployments and Services', async () => {
    const objects = (await readManifest(name, variables)).filter(({ kind }) =>
      ['Deployment', 'Service'].includes(kind),
    );
    for (const object of objects) expect(await readBack(object)).toMatchObject(changed(object));
  });
});

test('the real kubectl would drop a field that a Deployment does not have, and refuse a value of another type', async () => {
  const deployment = (await readManifest('coredns', variables)).find(({ kind }) => kind === 'Deployment') as Podded;
  const wrong = { ...deployment, spec: { ...deployment.spec, replcas: 2 } };
  expect(await readBack(wrong)).not.toHaveProperty('spec.replcas');
  await expect(readBack({ ...deployment, spec: { ...deployment.spec, replicas: 'two' } })).rejects.toThrow('replicas');
});
