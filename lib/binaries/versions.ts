import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { Bug } from '../engine/errors.ts';
import type { Arch } from '../engine/lab.ts';
import { fillTemplate } from '../engine/text.ts';

/** A published file of a product: one binary, or a tarball with binaries as members. */
export interface PublishedFile {
  readonly url: string;
  readonly sha256?: Readonly<Record<Arch, string>>;
  readonly binary?: string;
  /** Binary name to its path in the tarball. */
  readonly members?: Readonly<Record<string, string>>;
}

/** One upstream project at one version: the addresses of its files, and how Go builds its binaries. */
export interface Product {
  readonly version: string;
  readonly files?: readonly PublishedFile[];
  readonly modules?: readonly string[];
  readonly replace?: readonly string[];
  /** pkg-config names of the C libraries that it links; absent for pure Go. */
  readonly cgo?: readonly string[];
  readonly tags?: readonly string[];
  /** Go variables that the linker sets. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Binary name to its main package, or to a Go file of ours beside versions.yaml. */
  readonly packages: Readonly<Record<string, string>>;
  /** More tags for one binary. */
  readonly packageTags?: Readonly<Record<string, readonly string[]>>;
}

/** An image that hardway can pack itself: one static binary and nothing else. */
export interface Image {
  readonly reference: string;
  readonly binary: string;
  readonly command?: readonly string[];
}

export interface Versions {
  readonly products: Readonly<Record<string, Product>>;
  readonly images: Readonly<Record<string, Image>>;
  readonly calico: {
    readonly version: string;
    readonly manifest: string;
    readonly sha256: string;
    readonly images: readonly string[];
  };
}

let parsed: Versions | undefined;

/** Returns versions.yaml, read at the first call. Its shape is tested, so it is not validated here. */
export const versions = (): Versions => {
  parsed ??= parse(readFileSync(join(import.meta.dirname, 'versions.yaml'), 'utf8')) as Versions;
  return parsed;
};

/**
 * Returns the reference of an image, with its tag, as manifests name it. Throws on a name that versions.yaml does not
 * have: a bug.
 */
export const imageReference = (name: string): string => {
  const image = versions().images[name];
  if (!image) throw new Bug(`no image in versions.yaml is called ${name}`);
  return image.reference;
};

/** Fills {{version}}, {{number}} and {{arch}} into a template of versions.yaml. */
export const expand = (template: string, version: string, arch: Arch): string =>
  fillTemplate(
    template,
    { version, number: version.replace(/^v/, ''), arch },
    (name) => new Bug(`versions.yaml has {{${name}}} in ${template}`),
  );

/** Finds the product of a binary, and the product's name. Throws on a name that versions.yaml does not have: a bug. */
export const productOf = (binary: string): { readonly name: string; readonly product: Product } => {
  for (const [name, product] of Object.entries(versions().products)) {
    if (binary in product.packages) return { name, product };
  }
  throw new Bug(`no product in versions.yaml has the binary ${binary}`);
};
