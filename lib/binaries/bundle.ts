import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';
import { Header } from 'tar';
import { z } from 'zod';
import { sentenceOf, UserError } from '../engine/errors.ts';
import { type Arch, cnis } from '../engine/lab.ts';
import { requireOwnOrAsked } from '../engine/own.ts';
import { sha256, statIfThere } from '../host/files.ts';
import { onDisk, temporaryFor } from './cache.ts';
import type { FileProgress } from './progress.ts';
import { retryPolicy, sendRequest, withAgent, withRetries } from './web.ts';

/** Members of a bundle that say what it is; the first has the checksum of every other one. */
export const sumsName = 'SHA256SUMS';
export const contentsName = 'bundle.json';

const sum = z.string().regex(/^[0-9a-f]{64}$/);

/** A member with a file of the lab, or with what hardway itself needs. */
const partShape = z.object({
  name: z.string().regex(/^[\w.+-]+(\/[\w.+-]+)?$/),
  kind: z.enum(['runtime', 'programs', 'manifests', 'images']),
  /** Program, reference of an image, or name of a file. */
  of: z.string(),
  version: z.string(),
  /** Bytes and checksum of the member. */
  size: z.number(),
  sha256: sum,
  /** Bytes and checksum of the file in it; absent where the member is no zstd. */
  content: z.object({ size: z.number(), sha256: sum }).optional(),
  origin: z.enum(['release', 'go', 'hand']).optional(),
  recipe: z.string().optional(),
});

const contentsShape = z.object({
  format: z.literal(1),
  arch: z.enum(['amd64', 'arm64']),
  kubernetes: z.string(),
  cni: z.enum(cnis),
  with: z.array(z.string()),
  parts: z.array(partShape),
});

export type Part = z.infer<typeof partShape>;
export type Contents = z.infer<typeof contentsShape>;

interface TakeOptions {
  /** Folder for what comes over a network and is not whole yet. */
  readonly downloads: string;
  readonly report: (progress: FileProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A bundle whose list of checksums was read, and of a file all that is in it was verified. */
export interface Bundle {
  /** Path of the file, or its address. */
  readonly from: string;
  /** First 16 digits of the checksum of its list, which stand for all of it. */
  readonly mark: string;
  readonly contents: Contents;
  /** Member to its place in the file; empty for one that another machine serves. */
  readonly members: ReadonlyMap<string, Place>;
  /** Writes the member as it is packed to a file, verified. */
  readonly fetch: (part: Part, output: string, options: TakeOptions) => Promise<void>;
}

/** Bytes of a member in the file. */
export interface Place {
  readonly offset: number;
  readonly size: number;
}

const makeAnother = 'make it anew where there is a network: hardway bundle create FILE';
const unfit = (from: string, why: string, next = `copy it again; or ${makeAnother}`): UserError =>
  new UserError(`the bundle ${from} is not used: ${why}`, next);

const markOf = (sums: string | Buffer): string => sha256(sums).slice(0, 16);

const parseSums = (from: string, text: string): ReadonlyMap<string, string> => {
  const rows = text.trimEnd().split('\n');
  const parsed = rows.map((row) => /^([0-9a-f]{64}) {2}(\S+)$/.exec(row));
  const wrong = parsed.indexOf(null) + 1;
  if (wrong > 0) throw unfit(from, `its list ${sumsName} was altered: line ${wrong} has no checksum and name`);
  return new Map(parsed.map((row) => [row?.[2] ?? '', row?.[1] ?? '']));
};

/** Reads the description of a bundle. Throws UserError where it is none of ours, or does not go with the list. */
const parseContents = (from: string, text: string, sums: ReadonlyMap<string, string>): Contents => {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw unfit(from, `its ${contentsName} is not JSON`);
  }
  const parsed = contentsShape.safeParse(json);
  if (!parsed.success) throw unfit(from, `another version of hardway made it (${contentsName})`, makeAnother);
  const stranger = parsed.data.parts.find(({ name, sha256: one }) => sums.get(name) !== one);
  if (stranger) throw unfit(from, `${stranger.name} is in its ${contentsName} and not so in its ${sumsName}`);
  return parsed.data;
};

const block = 512;

/** Reads exactly so many bytes. Throws UserError where the file ends before. */
const readAt = async (file: FileHandle, from: string, { offset, size }: Place): Promise<Buffer> => {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(size), 0, size, offset);
  if (bytesRead < size) throw unfit(from, 'it is torn: the end of it is missing');
  return buffer;
};

/** Finds the members of a tar by its headers, without reading what is in them. */
const membersOf = async (file: FileHandle, from: string): Promise<Map<string, Place>> => {
  const { size: length } = await file.stat();
  const members = new Map<string, Place>();
  for (let offset = 0; ; ) {
    const header = new Header(await readAt(file, from, { offset, size: block }));
    if (header.nullBlock) break;
    const { path = '', size = 0, type, cksumValid } = header;
    if (!cksumValid || type !== 'File' || members.has(path)) throw unfit(from, 'it is no bundle, or was altered');
    if (members.size === 0 && path !== sumsName) throw unfit(from, 'it is no bundle of hardway', makeAnother);
    const place = { offset: offset + block, size };
    if (place.offset + size > length) throw unfit(from, 'it is torn: the end of it is missing');
    members.set(path, place);
    offset = place.offset + Math.ceil(size / block) * block;
  }
  if (members.size === 0) throw unfit(from, 'it is empty', makeAnother);
  return members;
};

/** Passes bytes on and counts them, and their checksum. */
const measuring = () => {
  const hash = createHash('sha256');
  let size = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  return { stream, measured: () => ({ size, sha256: hash.digest('hex') }) };
};

/** Reads a member from beginning to end and returns its checksum. */
const sumOfMember = async (path: string, { offset, size }: Place): Promise<string> => {
  const hash = createHash('sha256');
  if (size > 0)
    for await (const chunk of createReadStream(path, { start: offset, end: offset + size - 1, highWaterMark: 1 << 20 }))
      hash.update(chunk as Buffer);
  return hash.digest('hex');
};

/** Throws UserError where a member is not what the list says, or is in one of both only. */
const verifyAll = async (path: string, members: ReadonlyMap<string, Place>, sums: ReadonlyMap<string, string>) => {
  const others = new Set([...members.keys(), ...sums.keys()].filter((name) => members.has(name) !== sums.has(name)));
  others.delete(sumsName);
  if (others.size > 0) throw unfit(path, `${[...others].join(', ')} is in it or in its list, and not in both`);
  for (const [name, place] of members) {
    const found = name === sumsName ? undefined : await sumOfMember(path, place);
    if (found !== sums.get(name)) throw unfit(path, `${name} in it was altered: its SHA-256 is ${found}`);
  }
};

const openFile = async (typed: string): Promise<Bundle> => {
  const path = resolve(typed);
  const stat = await statIfThere(path);
  if (!stat) throw new UserError(`there is no bundle at ${path}`, makeAnother);
  const file = stat.isFIFO() || stat.isSocket() || stat.isDirectory() ? undefined : await open(path).catch(sentenceOf);
  if (file === undefined) throw unfit(path, 'it is no file', makeAnother);
  if (typeof file === 'string') throw unfit(path, file, 'name one that can be read');
  try {
    const members = await membersOf(file, path);
    const text = async (name: string) => `${await readAt(file, path, members.get(name) ?? { offset: 0, size: 0 })}`;
    const list = await text(sumsName);
    const sums = parseSums(path, list);
    await verifyAll(path, members, sums);
    const contents = parseContents(path, await text(contentsName), sums);
    const take: Bundle['fetch'] = async (part, output) => {
      const { offset, size } = members.get(part.name) ?? { offset: 0, size: 0 };
      const packed = createReadStream(path, { start: offset, end: offset + size - 1 });
      await onDisk(`copying ${part.of}`, output, () => pipeline(packed, createWriteStream(output)));
    };
    return { from: path, mark: markOf(list), contents, members, fetch: take };
  } finally {
    await file.close();
  }
};

/** Most bytes of the list and of the description that another machine serves. */
const mostText = 1 << 20;

const getText = (url: string, signal: AbortSignal | undefined): Promise<string> =>
  withAgent(retryPolicy.stall, (agent) =>
    withRetries({
      url,
      limits: { ...retryPolicy, retries: 3 },
      signal,
      attempt: async () => {
        const { statusCode, body } = await sendRequest({ url, agent, stall: retryPolicy.stall, signal }, {});
        if (statusCode !== 200) throw unfit(url, `the answer was ${statusCode}`, typeTheLine);
        let text = '';
        for await (const chunk of body) {
          text += chunk;
          if (text.length > mostText) throw unfit(url, 'it is far too long', typeTheLine);
        }
        return text;
      },
    }),
  );

const typeTheLine = 'type the whole line that hardway bundle serve FILE has printed';

const openAddress = async (typed: string, signal: AbortSignal | undefined): Promise<Bundle> => {
  const from = typed.replace(/\/+$/, '');
  const mark = /\/([0-9a-f]{16})$/.exec(from)?.[1];
  // Plain http in a room: whoever is in the same network could answer. The mark came by another way.
  if (!mark) throw unfit(from, 'its mark is missing, 16 digits at the end, by which it is known', typeTheLine);
  const list = await getText(`${from}/${sumsName}`, signal);
  if (markOf(list) !== mark) throw unfit(from, `its mark is ${markOf(list)}, not ${mark}`, typeTheLine);
  const sums = parseSums(from, list);
  const text = await getText(`${from}/${contentsName}`, signal);
  if (sha256(text) !== sums.get(contentsName)) throw unfit(from, `${contentsName} was altered on the way`, typeTheLine);
  const take: Bundle['fetch'] = async (part, output, { downloads, report }) => {
    const { fetchExactly } = await import('./download.ts');
    await mkdir(downloads, { recursive: true });
    const partial = join(downloads, `bundle_${part.sha256}.part`);
    const told = (progress: FileProgress) => report({ ...progress, name: part.of });
    await fetchExactly(part.of, `${from}/${part.name}`, part.sha256, partial, { report: told, signal });
    await rename(partial, output);
  };
  return { from, mark, contents: parseContents(from, text, sums), members: new Map(), fetch: take };
};

/** Tells whether a source is the address of a bundle that another machine serves. */
const isBundleAddress = (text: string): boolean => /^https?:\/\//.test(text);

/**
 * Opens a bundle: a file, every byte of which is verified by the list in it, or one that `hardway bundle serve` serves,
 * whose list is verified by the mark in its address. Changes nothing. Throws UserError for one that is torn, altered, not
 * there, or of another format.
 */
export const openBundle = (from: string, signal?: AbortSignal): Promise<Bundle> =>
  isBundleAddress(from) ? openAddress(from, signal) : openFile(from);

/**
 * Opens a bundle whose files root will run. Throws UserError as `openBundle` does, and for a file that others than root and
 * the person behind sudo could change: with the file they could change the list in it.
 */
export const openOwnBundle = async (from: string, signal?: AbortSignal): Promise<Bundle> => {
  if (!isBundleAddress(from)) await requireOwnOrAsked(resolve(from));
  return openBundle(from, signal);
};

/**
 * Unpacks the file of a part to `output`, beside which it needs room for the part as well. Throws UserError where it is
 * not the one that the bundle names.
 */
export const takePart = async (bundle: Bundle, part: Part, output: string, options: TakeOptions): Promise<void> => {
  const packed = `${output}.zst`;
  try {
    await bundle.fetch(part, packed, options);
    options.signal?.throwIfAborted();
    options.report({ name: part.of, state: 'unpacking' });
    const { stream, measured } = measuring();
    await onDisk(`unpacking ${part.of}`, output, () =>
      pipeline(createReadStream(packed), createZstdDecompress(), stream, createWriteStream(output)),
    );
    if (measured().sha256 !== part.content?.sha256) throw unfit(bundle.from, `${part.of} in it was altered`);
  } finally {
    await rm(packed, { force: true });
  }
};

/** Finds a file of the lab in a bundle. */
export const partOf = ({ contents }: Bundle, kind: Part['kind'], of: string): Part | undefined =>
  contents.parts.find((part) => part.kind === kind && part.of === of);

/** What a lab wants of a bundle. */
export interface BundleWanted {
  readonly arch: Arch;
  readonly kubernetes: string;
}

/** Throws UserError for a bundle of another architecture, or of another version of Kubernetes. */
export const requireFits = ({ from, contents }: Bundle, { arch, kubernetes }: BundleWanted): void => {
  if (contents.arch !== arch)
    throw unfit(
      from,
      `it is for ${contents.arch}, and this machine is ${arch}`,
      `make one where there is a network: hardway bundle create --arch ${arch} FILE`,
    );
  if (contents.kubernetes !== kubernetes)
    throw unfit(
      from,
      `it has Kubernetes ${contents.kubernetes}, and this lab ${kubernetes}`,
      `use the hardway that made it, or ${makeAnother}`,
    );
};

/** Puts a manifest of a bundle into its place in the cache. Throws UserError where the bundle has none of that name. */
export const takeManifest = async (from: string, of: string, path: string, options: Omit<TakeOptions, 'downloads'>) => {
  const bundle = await openOwnBundle(from, options.signal);
  const part = partOf(bundle, 'manifests', of);
  if (!part) throw lacks(bundle, [of]);
  await mkdir(dirname(path), { recursive: true });
  const temporary = await temporaryFor(path);
  try {
    await takePart(bundle, part, temporary, { ...options, downloads: dirname(path) });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
};

/** The error of a bundle that has not all that a lab needs, or has it from another version of hardway. */
export const lacks = ({ from, contents }: Bundle, names: readonly string[]): UserError => {
  const there = names.every((name) => contents.parts.some(({ of }) => of === name));
  const why = there ? 'another version of hardway made it, with another' : 'it was made without';
  return unfit(from, `${why} ${names.join(', ')}`, `use --cni ${contents.cni}; or ${makeAnother}`);
};
