import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  expand,
  imageDigests,
  imageReference,
  kubernetesVersions,
  productOf,
  sumsIn,
  usualKubernetes,
  versions,
} from '../../../lib/binaries/versions.ts';
import { exampleLab } from '../../../lib/engine/lab.ts';

const sum = z.string().regex(/^[0-9a-f]{64}$/);
const file = z.strictObject({
  url: z.string().startsWith('https://'),
  sha256: z.strictObject({ amd64: sum, arm64: sum }).optional(),
  sums: z.string().startsWith('https://').optional(),
  binary: z.string().optional(),
  members: z.record(z.string(), z.string()).optional(),
});
const product = z.strictObject({
  version: z.string().regex(/^v\d+\.\d+\.\d+$/),
  files: z.array(file).optional(),
  modules: z.array(z.string()).optional(),
  replace: z.array(z.string().regex(/^\S+ => \S+ v\S+$/)).optional(),
  cgo: z.array(z.string()).optional(),
  tags: z.array(z.string()).optional(),
  variables: z.record(z.string(), z.string()).optional(),
  packages: z.record(z.string(), z.string()),
  packageTags: z.record(z.string(), z.array(z.string())).optional(),
});
const image = z.strictObject({ reference: z.string(), binary: z.string(), command: z.array(z.string()).optional() });
const shape = z.strictObject({
  products: z.record(z.string(), product),
  images: z.strictObject({ pause: image, coredns: image, agnhost: image, traefik: image }),
  calico: z.strictObject({ version: z.string(), manifest: z.url(), sha256: sum, images: z.array(z.string()) }),
});

describe('versions.yaml', () => {
  test.each(kubernetesVersions())('has the shape that its type promises, with Kubernetes %s', (kubernetes) => {
    expect(() => shape.parse(versions(kubernetes))).not.toThrow();
  });

  test('has a minor version of Kubernetes once, and the newest is the usual one', () => {
    const minors = kubernetesVersions().map((version) => Number(version.split('.')[1]));
    expect(minors).toEqual([...new Set(minors)].sort((one, other) => other - one));
    expect(minors.length).toBeGreaterThan(1);
    expect(exampleLab.kubernetes).toBe(usualKubernetes());
  });

  test('builds the modules of Kubernetes that fit, and says its version to whoever asks the programs', () => {
    const { replace, variables } = productOf('kubelet', 'v1.35.8').product;
    expect(replace).toContain('k8s.io/api => k8s.io/api v0.35.8');
    expect(variables).toMatchObject({ 'k8s.io/component-base/version.gitMinor': '35' });
    expect(JSON.stringify(versions('v1.35.8').products['kubernetes'])).not.toMatch(/\.36\b|\{\{(minor|patch)\}\}/);
  });

  test('of a version that another hardway had gives the one of that minor version, or else the usual one', () => {
    expect(versions('v1.35.1')).toBe(versions('v1.35.8'));
    expect(versions('v1.20.0')).toBe(versions());
  });

  test('gives every published binary a package, so that each can come from either source', () => {
    for (const { files = [], packages } of Object.values(versions().products)) {
      for (const { binary, members } of files) {
        for (const name of binary ? [binary] : Object.keys(members ?? {})) expect(packages).toHaveProperty(name);
      }
    }
  });

  test('pins the digests of images that it has', () => {
    const { calico } = versions();
    const images = kubernetesVersions().flatMap((one) => Object.values(versions(one).images));
    const references = [...new Set([...images.map(({ reference }) => reference), ...calico.images])];
    const pinned = Object.keys(imageDigests());
    for (const digest of Object.values(imageDigests())) expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(references).toEqual(expect.arrayContaining(pinned));
    const others = references.filter((reference) => !pinned.includes(reference));
    expect(others.map((reference) => reference.replace(/^.*\//, ''))).toEqual(['traefik:v3.6.7', 'agnhost:2.59']);
  });

  test('names each binary once', () => {
    const names = Object.values(versions().products).flatMap(({ packages }) => Object.keys(packages));
    expect(new Set(names).size).toBe(names.length);
  });

  test('tags CoreDNS and pause with the versions that are built', () => {
    for (const kubernetes of kubernetesVersions()) {
      const coredns = productOf('coredns', kubernetes).product.version;
      expect(imageReference('coredns', kubernetes)).toBe(`registry.k8s.io/coredns/coredns:${coredns}`);
      const pause = productOf('pause', kubernetes).product.version;
      expect(imageReference('pause', kubernetes)).toBe(`registry.k8s.io/pause:${pause.slice(1)}`);
    }
    expect(imageReference('coredns', 'v1.35.8')).not.toBe(imageReference('coredns'));
  });
});

describe('sums.txt', () => {
  const rows = sumsIn(readFileSync(join(import.meta.dirname, '../../../lib/binaries/sums.txt'), 'utf8'));
  const files = kubernetesVersions()
    .flatMap((kubernetes) => Object.values(versions(kubernetes).products))
    .flatMap(({ files: published = [], version }) => published.map((one) => ({ ...one, version })));
  const urls = new Set(
    files.flatMap(({ url, version }) => (['amd64', 'arm64'] as const).map((arch) => expand(url, version, arch))),
  );

  test('has a file once, and none that no lab has', () => {
    expect(new Set(rows.map(({ url }) => url)).size).toBe(rows.length);
    expect(rows.filter(({ url }) => !urls.has(url))).toEqual([]);
  });

  test('has every file of a site that publishes no checksum as URL.sha256', () => {
    const elsewhere = files.filter(({ sums, url }) => sums ?? !url.startsWith('https://dl.k8s.io/'));
    expect(elsewhere.filter(({ sha256 }) => !sha256)).toEqual([]);
    expect(elsewhere.length).toBeGreaterThan(4);
  });

  test('is refused with a line that says not where a checksum comes from', () => {
    const line = `${'a'.repeat(64)}  https://dl.example/file`;
    expect(() => sumsIn(`${line}\n`)).toThrow(line);
  });
});

test('expand writes the version with and without its v, and the architecture', () => {
  expect(expand('{{version}}/{{number}}-{{arch}}', 'v1.2.3', 'arm64')).toBe('v1.2.3/1.2.3-arm64');
});

test('productOf throws for a binary that no product has', () => {
  expect(() => productOf('kube-nothing')).toThrow('kube-nothing');
});
