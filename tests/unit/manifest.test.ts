import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readManifest } from '../../lib/cluster/manifest.ts';

const variables = {
  dnsAddress: '10.32.0.10',
  domain: 'cluster.local',
  image: 'example.org/image:1',
  forward: 'forward . /etc/resolv.conf',
  word: 'secret',
  args: '[]',
};
const names = readdirSync(join(import.meta.dirname, '../../manifests')).map((file) => file.replace('.yaml', ''));

describe.each(names)('the manifest %s', (name) => {
  test('holds objects that the API server can place, each once, with nothing left to fill in', async () => {
    const objects = await readManifest(name, variables);
    expect(objects.length).toBeGreaterThan(0);
    for (const object of objects) {
      expect(object).toMatchObject({
        apiVersion: expect.stringMatching(/^([a-z.0-9]+\/)?v\d/),
        kind: expect.stringMatching(/^[A-Z]\w+$/),
        metadata: { name: expect.stringMatching(/^[a-z0-9][-a-z0-9.:]*$/) },
      });
    }
    const keys = objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`);
    expect(new Set(keys).size).toBe(keys.length);
    expect(JSON.stringify(objects)).not.toMatch(/\{\{\w|undefined/);
  });

  test('selects the Pods that a Deployment of the project makes', async () => {
    const objects = await readManifest(name, variables);
    const deployments = (await Promise.all(names.map((one) => readManifest(one, variables))))
      .flat()
      .filter(({ kind }) => kind === 'Deployment') as unknown as {
      spec: { selector: { matchLabels: object }; template: { metadata: { labels: object } } };
    }[];
    const services = objects.filter(({ kind }) => kind === 'Service') as unknown as { spec: { selector: object } }[];
    for (const { spec } of deployments) expect(spec.template.metadata.labels).toMatchObject(spec.selector.matchLabels);
    for (const { spec } of services) {
      expect(deployments.map((one) => one.spec.template.metadata.labels)).toContainEqual(
        expect.objectContaining(spec.selector),
      );
    }
  });
});

test('a manifest cannot be read without a variable that it names', async () => {
  await expect(readManifest('smoke', {})).rejects.toThrow('manifests/smoke.yaml wants {{word}}');
});

test('a value is filled in as it is, whatever is in it', async () => {
  const [, secret] = await readManifest('smoke', { ...variables, word: '$& {{x}}' });
  expect(secret).toMatchObject({ stringData: { word: '$& {{x}}' } });
});

test('CoreDNS answers at the address that the kubelet gives to Pods, for the domain of the lab', async () => {
  const objects = await readManifest('coredns', variables);
  expect(objects.find(({ kind }) => kind === 'Service')).toMatchObject({ spec: { clusterIP: '10.32.0.10' } });
  const corefile = JSON.stringify(objects.find(({ kind }) => kind === 'ConfigMap'));
  expect(corefile).toContain('kubernetes cluster.local in-addr.arpa ip6.arpa {');
  expect(corefile).toContain('    forward . /etc/resolv.conf\\n');
});
