import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { Bug } from '../engine/errors.ts';
import type { Arch } from '../engine/lab.ts';
import { fillTemplate } from '../engine/text.ts';

/** A published file of a product: one binary, or a tarball with binaries as members. */
export interface PublishedFile {
  readonly url: string;
  /** Checksums in sums.txt; absent where it does not have those of both architectures. */
  readonly sha256?: Readonly<Record<Arch, string>>;
  /** Page on which the site publishes its checksum; absent where that is URL.sha256. */
  readonly sums?: string;
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

/** What versions.yaml says of one version of Kubernetes: the versions that run together as one cluster. */
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

/** The file as it is written. A product without a version has that in the table. */
export interface VersionsFile extends Pick<Versions, 'images' | 'calico'> {
  readonly kubernetes: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly products: Readonly<Record<string, Omit<Product, 'version'> & { readonly version?: string }>>;
  readonly digests: Readonly<Record<string, string>>;
}

/** A row of sums.txt: the checksum of a published file, and the page that says so. */
export interface PublishedSum {
  readonly url: string;
  readonly sha256: string;
  readonly from: string;
}

const beside = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8');

/** Parses sums.txt. Throws on a line that is none of it: a bug. */
export const sumsIn = (text: string): readonly PublishedSum[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, sha256, url, from] = /^([0-9a-f]{64}) {2}(https:\S+) {2}(https:\S+)$/.exec(line) ?? [];
      if (!sha256 || !url || !from) throw new Bug(`sums.txt has the line ${JSON.stringify(line)}`);
      return { url, sha256, from };
    });

let file: VersionsFile | undefined;
let sums: ReadonlyMap<string, string> | undefined;
const parsed = new Map<string, Versions>();

/** Returns versions.yaml, read at the first call. Its shape is tested, so it is not validated here. */
const versionsFile = (): VersionsFile => {
  file ??= parse(beside('versions.yaml')) as VersionsFile;
  return file;
};

/** References of published images to their digests; absent is one that is fetched by its tag. */
export const imageDigests = (): Readonly<Record<string, string>> => versionsFile().digests;

/** Versions of Kubernetes that a lab may have, the usual one first. */
export const kubernetesVersions = (): readonly string[] => Object.keys(versionsFile().kubernetes);

/** The version of Kubernetes that a lab has when none is asked for. */
export const usualKubernetes = (): string => kubernetesVersions()[0] ?? '';

const withSums = (published: PublishedFile, version: string): PublishedFile => {
  sums ??= new Map(sumsIn(beside('sums.txt')).map(({ url, sha256 }) => [url, sha256]));
  const { url, ...others } = published;
  const [amd64, arm64] = (['amd64', 'arm64'] as const).map((arch) => sums?.get(expand(url, version, arch)));
  return { url, ...(amd64 && arm64 && { sha256: { amd64, arm64 } }), ...others };
};

/** Fills in what a product has of its own version, so that a cached build of it is known by what is written out. */
const productAt = (version: string, product: VersionsFile['products'][string]): Product => {
  const [, minor = '', patch = ''] = version.split('.');
  const fill = (text: string): string => text.replaceAll('{{minor}}', minor).replaceAll('{{patch}}', patch);
  const { replace, variables, files } = product;
  return {
    version,
    ...product,
    ...(files && { files: files.map((one) => withSums(one, version)) }),
    ...(replace && { replace: replace.map(fill) }),
    ...(variables && {
      variables: Object.fromEntries(Object.entries(variables).map(([key, value]) => [key, fill(value)])),
    }),
  };
};

/** The version of a product with a version of Kubernetes. */
const versionIn = ({ kubernetes: table, products }: VersionsFile, product: string, kubernetes: string): string =>
  products[product]?.version ?? (product === 'kubernetes' ? kubernetes : (table[kubernetes]?.[product] ?? ''));

/** Lists every published file for each version of Kubernetes and architecture, with the page that has its checksum. */
export const publishedFiles = (file = versionsFile()): readonly { readonly url: string; readonly page: string }[] => {
  const found = new Map<string, string>();
  for (const kubernetes of Object.keys(file.kubernetes)) {
    for (const [name, { files = [] }] of Object.entries(file.products)) {
      const version = versionIn(file, name, kubernetes);
      for (const { url, sums: page = `${url}.sha256` } of files)
        for (const arch of ['amd64', 'arm64'] as const)
          found.set(expand(url, version, arch), expand(page, version, arch));
    }
  }
  return [...found].map(([url, page]) => ({ url, page }));
};

/** Reads versions.yaml for one version of Kubernetes, which it has. */
const versionsOf = (kubernetes: string): Versions => {
  const written = versionsFile();
  const { images, calico } = written;
  const row = written.kubernetes[kubernetes] ?? {};
  const products = Object.fromEntries(
    Object.entries(written.products).map(([name, product]) => [
      name,
      productAt(versionIn(written, name, kubernetes), product),
    ]),
  );
  const productWith = (binary: string) => Object.values(products).find(({ packages }) => binary in packages);
  const imagesAt = Object.entries(images).map(([name, image]) => {
    const version = productWith(image.binary)?.version ?? '';
    const values = { version, number: version.replace(/^v/, ''), ...row };
    const missing = (key: string) => new Bug(`versions.yaml has {{${key}}} in ${image.reference}`);
    return [name, { ...image, reference: fillTemplate(image.reference, values, missing) }] as const;
  });
  return { products, images: Object.fromEntries(imagesAt), calico };
};

/** Finds a version of Kubernetes by its name; v1.35 is the one of that minor version. Undefined where there is none. */
export const findKubernetes = (name: string): string | undefined =>
  kubernetesVersions().find((version) => version === name || version.replace(/\.\d+$/, '') === name);

/**
 * Returns what goes with a version of Kubernetes. A lab that another hardway made may have one that is not here: it is
 * looked at, and reset, with the nearest, which is of the same minor version or else the usual one.
 */
export const versions = (asked = usualKubernetes()): Versions => {
  const kubernetes = findKubernetes(asked) ?? findKubernetes(asked.replace(/\.\d+$/, '')) ?? usualKubernetes();
  const found = parsed.get(kubernetes) ?? versionsOf(kubernetes);
  parsed.set(kubernetes, found);
  return found;
};

/**
 * Returns the reference of an image, with its tag, as manifests name it. Throws on a name that versions.yaml does not
 * have: a bug.
 */
export const imageReference = (name: string, kubernetes?: string): string => {
  const image = versions(kubernetes).images[name];
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
export const productOf = (
  binary: string,
  kubernetes?: string,
): { readonly name: string; readonly product: Product } => {
  for (const [name, product] of Object.entries(versions(kubernetes).products)) {
    if (binary in product.packages) return { name, product };
  }
  throw new Bug(`no product in versions.yaml has the binary ${binary}`);
};
