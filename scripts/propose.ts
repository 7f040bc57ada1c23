import { basename } from 'node:path';
import { isMap, isScalar, type Pair, parseDocument, type Scalar } from 'yaml';
import { type PublishedSum, publishedFiles, sumsIn, type VersionsFile } from '../lib/binaries/versions.ts';
import { UserError } from '../lib/engine/errors.ts';

/** Newer versions and their checksums, as the two files would be, and what is new in words. */
export interface Proposal {
  readonly versions: string;
  readonly sums: string;
  readonly news: readonly string[];
}

/** Returns the text of a page; throws where it cannot be had. */
export type Ask = (url: string) => Promise<string>;

/** A version in the text of versions.yaml, and the page that tells the newest patch release of its minor version. */
interface Pin {
  readonly name: string;
  readonly node: Scalar<string>;
  readonly page: string;
}

const minorOf = (version: string): string => version.replace(/\.\d+$/, '');
const patchOf = (version: string): number => Number(version.slice(version.lastIndexOf('.') + 1));

/** Returns the newest release of a minor version in a list of releases of GitHub's API, or in a page with one version. */
export const newestIn = (text: string, page: string, current: string): string => {
  const listed = text.trimStart().startsWith('[');
  const tags = listed
    ? (JSON.parse(text) as { tag_name: string; draft: boolean; prerelease: boolean }[])
        .filter(({ draft, prerelease }) => !draft && !prerelease)
        .map(({ tag_name }) => tag_name)
    : [text.trim()];
  const fit = tags.filter((tag) => /^v\d+\.\d+\.\d+$/.test(tag) && minorOf(tag) === minorOf(current));
  if (fit.length === 0 && !listed)
    throw new UserError(`${page} has no release of ${minorOf(current)}: ${JSON.stringify(text.slice(0, 60))}`, page);
  return [...fit, current].reduce((newest, tag) => (patchOf(tag) > patchOf(newest) ? tag : newest));
};

/** Finds the checksum of a file on a page: the only one there, or that in the line of its name. */
export const sumOn = (text: string, page: string, url: string): string => {
  const rows = [...text.matchAll(/^([0-9a-f]{64})(?:[ \t]+\*?(\S+))?[ \t]*$/gim)];
  const named = rows.find(([, , name]) => name !== undefined && basename(name) === basename(url));
  const alone = rows.length === 1 && rows[0]?.[2] === undefined ? rows[0] : undefined;
  const sum = (named ?? alone)?.[1];
  if (!sum) throw new UserError(`${page} has no SHA-256 of ${basename(url)}`, `look at ${page}`);
  return sum.toLowerCase();
};

const scalar = (node: unknown): Scalar<string>[] => (isScalar<string>(node) ? [node] : []);
const pairsOf = (node: unknown): Pair[] => (isMap(node) ? node.items : []);

/** The list of releases of the project on GitHub that a file comes from; undefined for one of another site. */
const releasesOf = (url: string | undefined): string | undefined => {
  const [, project] = /^https:\/\/github\.com\/([^/]+\/[^/]+)\/releases\//.exec(url ?? '') ?? [];
  return project && `https://api.github.com/repos/${project}/releases`;
};

const pinsIn = (document: ReturnType<typeof parseDocument>): readonly Pin[] => {
  const { products } = document.toJS() as VersionsFile;
  const pageOf = (name: string) => releasesOf(products[name]?.files?.[0]?.url);
  const pin = (name: string, node: unknown, page = pageOf(name)): Pin[] =>
    page ? scalar(node).map((found) => ({ name, node: found, page })) : [];
  const ofTable = pairsOf(document.get('kubernetes')).flatMap(({ key, value }) => [
    ...scalar(key).flatMap((node) =>
      pin('kubernetes', node, `https://dl.k8s.io/release/stable-${minorOf(node.value).slice(1)}.txt`),
    ),
    ...pairsOf(value).flatMap((pair) => pin(String(pair.key), pair.value)),
  ]);
  const ofProducts = Object.keys(products).flatMap((name) =>
    pin(name, document.getIn(['products', name, 'version'], true)),
  );
  return [...ofTable, ...ofProducts];
};

/** Replaces parts of a text; the last comes first, so that the places of the others stay right. */
const edited = (text: string, edits: readonly { readonly node: Scalar; readonly to: string }[]): string =>
  edits
    .map(({ node, to }) => ({ at: node.range?.[0] ?? 0, end: node.range?.[1] ?? 0, to }))
    .toSorted((one, other) => other.at - one.at)
    .reduce((all, { at, end, to }) => all.slice(0, at) + to + all.slice(end), text);

/** Throws where a site publishes another checksum than before for the same file: a release never changes. */
const requireSame = (known: PublishedSum | undefined, { url, sha256, from }: PublishedSum): void => {
  if (known === undefined || known.sha256 === sha256) return;
  throw new UserError(
    `${from} says that the SHA-256 of ${url} is ${sha256}; ${known.from} said ${known.sha256}`,
    'find out which of them is wrong before anything of that release is used',
  );
};

/**
 * Proposes the newest patch release of every version in versions.yaml that has published files, and the checksum of each
 * file as its own site publishes it. Images and what is built from modules only have no such page: they stay.
 */
export const propose = async (versions: string, sums: string, ask: Ask): Promise<Proposal> => {
  const pages = new Map<string, Promise<string>>();
  const read = (page: string): Promise<string> => {
    const text = pages.get(page) ?? ask(page);
    pages.set(page, text);
    return text;
  };
  const document = parseDocument(versions);
  const edits = await Promise.all(
    pinsIn(document).map(async (pin) => ({ ...pin, to: newestIn(await read(pin.page), pin.page, pin.node.value) })),
  );
  const text = edited(versions, edits);
  const known = new Map(sumsIn(sums).map((row) => [row.url, row]));
  const rows: PublishedSum[] = [];
  for (const { url, page } of publishedFiles(parseDocument(text).toJS() as VersionsFile)) {
    const row = { url, sha256: sumOn(await read(page), page, url), from: page };
    requireSame(known.get(url), row);
    rows.push(row);
  }
  const lines = rows.map(({ url, sha256, from }) => `${sha256}  ${url}  ${from}\n`);
  const byUrl = (one: string, other: string): number => (one.slice(66) < other.slice(66) ? -1 : 1);
  return {
    versions: text,
    sums: `${sums.split('\n')[0]}\n${lines.sort(byUrl).join('')}`,
    news: edits
      .filter(({ node, to }) => node.value !== to)
      .map(({ name, node, to, page }) => `${name} ${node.value} -> ${to}, as ${page} says`),
  };
};
