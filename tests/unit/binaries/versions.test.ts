import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { expand, imageReference, productOf, versions } from '../../../lib/binaries/versions.ts';

const sum = z.string().regex(/^[0-9a-f]{64}$/);
const file = z.strictObject({
  url: z.string().startsWith('https://'),
  sha256: z.strictObject({ amd64: sum, arm64: sum }).optional(),
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
  test('has the shape that its type promises', () => {
    expect(() => shape.parse(versions())).not.toThrow();
  });

  test('gives every published binary a package, so that each can come from either source', () => {
    for (const { files = [], packages } of Object.values(versions().products)) {
      for (const { binary, members } of files) {
        for (const name of binary ? [binary] : Object.keys(members ?? {})) expect(packages).toHaveProperty(name);
      }
    }
  });

  test('names each binary once', () => {
    const names = Object.values(versions().products).flatMap(({ packages }) => Object.keys(packages));
    expect(new Set(names).size).toBe(names.length);
  });

  test('tags CoreDNS with the version that is built', () => {
    expect(imageReference('coredns')).toBe(`registry.k8s.io/coredns/coredns:${productOf('coredns').product.version}`);
  });
});

test('expand writes the version with and without its v, and the architecture', () => {
  expect(expand('{{version}}/{{number}}-{{arch}}', 'v1.2.3', 'arm64')).toBe('v1.2.3/1.2.3-arm64');
});

test('productOf throws for a binary that no product has', () => {
  expect(() => productOf('kube-nothing')).toThrow('kube-nothing');
});
