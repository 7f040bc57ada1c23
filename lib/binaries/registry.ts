import { rmSync } from 'node:fs';
import { link, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../engine/errors.ts';
import type { Arch } from '../engine/lab.ts';
import { isSecureUrl } from '../engine/settings.ts';
import { sha256 } from '../host/files.ts';
import { imageRemedy, onDisk } from './cache.ts';
import { fetchExactly } from './download.ts';
import { packLayout } from './image.ts';
import type { FileProgress } from './progress.ts';
import { createQueue } from './queue.ts';
import { imageDigests } from './versions.ts';
import { askLater, type RetryPolicy, retryPolicy, sendRequest, withAgent, withRetries } from './web.ts';

export interface ImageOptions {
  readonly arch: Arch;
  /** Cache folder. Blobs stay in its folder `downloads` until their image is packed; a later run resumes with them. */
  readonly cache: string;
  /** Mirror that is asked before the registry. */
  readonly mirror?: string | undefined;
  readonly report: (progress: FileProgress) => void;
  readonly signal?: AbortSignal | undefined;
  /** By default those of every file. */
  readonly limits?: RetryPolicy;
}

/** Options of one run, with what its images share. */
interface Run extends ImageOptions {
  /** Runs a download when its turn has come; two images that have a blob in common get it from one download. */
  readonly share: (blob: string, reference: string, download: () => Promise<void>) => Promise<void>;
  /** Removes a blob of an image that is packed, unless another image still needs it. */
  readonly leave: (blob: string, reference: string) => void;
}

/** Blobs that come at the same time. */
const atOnce = 3;

/** Place where an image is asked for: a mirror, or the registry itself. */
interface From {
  readonly mirror: string | undefined;
  readonly limits: RetryPolicy;
}

/** A mirror that does not answer is soon given up: the registry itself is asked next. */
const mirrorPatience = ({ stall, firstRetry, retries }: RetryPolicy): RetryPolicy => ({
  stall: Math.min(stall, 8_000),
  firstRetry,
  retries: Math.min(retries, 2),
});

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const descriptor = z.object({ mediaType: z.string(), digest, size: z.int().nonnegative() });
const platform = z.object({ architecture: z.string(), os: z.string() });
const indexSchema = z.object({ manifests: z.array(descriptor.extend({ platform: platform.optional() })) });
const manifestSchema = z.object({
  mediaType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor).min(1),
});

/**
 * Media types of an index and of a manifest, OCI's and Docker's:
 * https://github.com/opencontainers/image-spec/blob/main/media-types.md
 */
const accepted = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

const hexOf = (text: string): string => text.replace(/^sha256:/, '');
const sumOf = (data: Buffer): string => `sha256:${sha256(data)}`;

/** Splits registry/repository:tag into its parts. References in versions.yaml are always written in full. */
const partsOf = (reference: string) => {
  const slash = reference.indexOf('/');
  const colon = reference.lastIndexOf(':');
  return {
    host: reference.slice(0, slash),
    repository: reference.slice(slash + 1, colon),
    tag: reference.slice(colon + 1),
  };
};

/** Returns the root of the API of a registry, or of its mirror, as containerd computes it. */
const rootOf = (host: string, mirror: string | undefined): string => {
  const plain = /^(localhost|127\.0\.0\.1)(:|$)/.test(host) ? 'http' : 'https';
  const base = mirror ?? `${plain}://${host === 'docker.io' ? 'registry-1.docker.io' : host}`;
  return `${base.replace(/\/+$/, '').replace(/\/v2$/, '')}/v2`;
};

/**
 * Returns the error that a registry's answer contains, else its status:
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
 */
const wordsOf = (status: number, body: Buffer): string => {
  try {
    const [error] = z
      .object({ errors: z.array(z.object({ code: z.string(), message: z.string().optional() })) })
      .parse(JSON.parse(body.toString())).errors;
    if (error) return `${status} ${error.code}${error.message ? `: ${error.message}` : ''}`;
  } catch {
    // the body is not JSON of this shape: use the status
  }
  return `${status}`;
};

const unfit = (what: string): UserError => new UserError(what, 'check HTTPS_PROXY and --registry-mirror');

/** Returns what a registry's refusal is: a plain Error where asking again may help, else a UserError. */
const refusal = (url: string, status: number, headers: Record<string, unknown>, body: Buffer): Error => {
  const words = `${new URL(url).host} answered ${wordsOf(status, body)}`;
  return askLater(words, status, headers) ?? unfit(words);
};

/** Opens one repository of one registry or mirror; the token is kept between requests. */
const openRegistry = (reference: string, { mirror, limits }: From, { signal, report }: Run) => {
  const { host, repository, tag } = partsOf(reference);
  const root = rootOf(host, mirror);
  const suffix = mirror ? `?ns=${host}` : '';
  const urlOf = (kind: 'manifests' | 'blobs', which: string): string =>
    `${root}/${repository}/${kind}/${which}${suffix}`;
  let challenge: { readonly realm: string; readonly query: string } | undefined;
  let token: { readonly value: string; readonly until: number } | undefined;

  const get = (url: string, headers: Record<string, string>) =>
    withAgent(limits.stall, async (agent) => {
      const {
        statusCode,
        headers: answered,
        body,
      } = await sendRequest({ url, agent, stall: limits.stall, signal }, { headers });
      return { statusCode, headers: answered, body: Buffer.from(await body.arrayBuffer()) };
    });

  /**
   * Parses `Bearer realm="...",service="...",scope="..."`: https://distribution.github.io/distribution/spec/auth/token/
   */
  const parseChallenge = (header: string): void => {
    const fields = new Map([...header.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value ?? '']));
    const realm = fields.get('realm');
    if (!/^bearer\s/i.test(header) || !realm) throw unfit(`${root} wants a name and a password; hardway has none`);
    if (!isSecureUrl(realm)) throw unfit(`${root} sends for a token to ${realm}, which is not an https address`);
    const query = new URLSearchParams({ scope: fields.get('scope') ?? `repository:${repository}:pull` });
    const service = fields.get('service');
    if (service) query.set('service', service);
    challenge = { realm, query: query.toString() };
  };

  const authorization = async (): Promise<Record<string, string>> => {
    if (!challenge) return {};
    if (!token || token.until < Date.now()) {
      const { realm, query } = challenge;
      const url = `${realm}?${query}`;
      const { statusCode, headers, body } = await get(url, {});
      if (statusCode !== 200)
        throw (
          askLater(`${new URL(url).host} answered ${wordsOf(statusCode, body)}`, statusCode, headers) ??
          unfit(`${realm} gave no token: it answered ${wordsOf(statusCode, body)}`)
        );
      const given = z.object({ token: z.string().optional(), access_token: z.string().optional() });
      const { token: one, access_token: other } = given.parse(JSON.parse(body.toString()));
      // A token lives at least a minute; each attempt at a blob renews it when it is older than 50 s.
      token = { value: one ?? other ?? '', until: Date.now() + 50_000 };
    }
    return { authorization: `Bearer ${token.value}` };
  };

  const manifest = (which: string): Promise<Buffer> => {
    const url = urlOf('manifests', which);
    const once = async (): Promise<Buffer> => {
      const { statusCode, headers, body } = await get(url, { accept: accepted, ...(await authorization()) });
      if (statusCode === 401 && !challenge) {
        parseChallenge(`${headers['www-authenticate'] ?? ''}`);
        return once();
      }
      if (statusCode !== 200) throw refusal(url, statusCode, headers, body);
      const expected = which.startsWith('sha256:') ? which : (headers['docker-content-digest'] ?? sumOf(body));
      if (sumOf(body) !== expected) throw unfit(`${url} is not what it is said to be: ${sumOf(body)}, not ${expected}`);
      return body;
    };
    const onPause = (words: string): void => report({ name: reference, state: 'waiting', words });
    return withRetries({ url, limits, signal, attempt: once, onPause });
  };

  return {
    which: imageDigests()[reference] ?? tag,
    manifest,
    authorization,
    blobUrl: (which: string) => urlOf('blobs', which),
  };
};

const parsed = <T>(schema: z.ZodType<T>, body: Buffer, what: string): T => {
  let json: unknown;
  try {
    json = JSON.parse(body.toString());
  } catch {
    throw unfit(`${what} is not JSON: '${body.toString().slice(0, 40)}'`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw unfit(`${what} is not a manifest: ${z.prettifyError(result.error).split('\n')[0]}`);
};

type Registry = ReturnType<typeof openRegistry>;
type Manifest = z.infer<typeof manifestSchema>;

/** The manifest of an image for one architecture: its bytes, as its digest is of these, and what they say. */
const fetchManifest = async (registry: Registry, reference: string, arch: Arch) => {
  let body = await registry.manifest(registry.which);
  if (parsed(z.looseObject({}), body, reference)['manifests']) {
    const { manifests } = parsed(indexSchema, body, reference);
    const ours = manifests.find(({ platform: one }) => one?.os === 'linux' && one.architecture === arch);
    if (!ours) {
      const others = manifests.map(({ platform: one }) => one && `${one.os}/${one.architecture}`).filter(Boolean);
      throw unfit(`${reference} is not published for linux/${arch}, only for ${others.join(', ')}`);
    }
    body = await registry.manifest(ours.digest);
  }
  return { body, manifest: parsed(manifestSchema, body, reference) };
};

/** Digest to size. */
type Blobs = ReadonlyMap<string, number>;

const placeOf = (cache: string, blob: string): string => join(cache, 'downloads', `sha256_${hexOf(blob)}.part`);

/** Adds up what has come of each blob and reports it as the image's progress. */
const reportSum = (reference: string, blobs: Blobs, report: ImageOptions['report']) => {
  const total = [...blobs.values()].reduce((sum, size) => sum + size, 0);
  const got = new Map<string, { bytes: number; left: number }>();
  report({ name: reference, state: 'announced', total });
  return (blob: string, progress: FileProgress): void => {
    if (progress.state === 'waiting') {
      report({ ...progress, name: reference });
      return;
    }
    got.set(blob, { bytes: progress.bytes ?? 0, left: progress.left ?? got.get(blob)?.left ?? 0 });
    const sum = (field: 'bytes' | 'left') => [...got.values()].reduce((one, other) => one + other[field], 0);
    report({ name: reference, state: 'downloading', bytes: sum('bytes'), left: sum('left'), total });
  };
};

/** Fetches blobs into the folder of downloads. Throws the first failure when all have come or failed. */
const fetchBlobs = async (
  registry: Registry,
  reference: string,
  blobs: Blobs,
  { cache, report, signal, limits, share }: Run,
): Promise<void> => {
  await mkdir(join(cache, 'downloads'), { recursive: true });
  const tell = reportSum(reference, blobs, report);
  const fetchBlob = async (blob: string, total: number): Promise<void> => {
    await share(blob, reference, () =>
      fetchExactly(reference, registry.blobUrl(blob), hexOf(blob), placeOf(cache, blob), {
        report: (progress) => tell(blob, progress),
        headers: registry.authorization,
        signal,
        ...(limits && { limits }),
      }),
    );
    tell(blob, { name: reference, state: 'downloading', bytes: total });
  };
  const ended = await Promise.allSettled([...blobs].map(([blob, size]) => fetchBlob(blob, size)));
  const failure = ended.find((one) => one.status === 'rejected');
  if (failure) throw failure.reason;
};

/** Writes the archive of an image whose blobs have all come. */
const packBlobs = async (
  reference: string,
  output: string,
  { body, manifest, blobs }: { readonly body: Buffer; readonly manifest: Manifest; readonly blobs: Blobs },
  { arch, cache }: Run,
): Promise<void> => {
  const layout = await mkdtemp(`${output}.`);
  try {
    const folder = join(layout, 'blobs/sha256');
    await mkdir(folder, { recursive: true });
    for (const blob of blobs.keys()) await link(placeOf(cache, blob), join(folder, hexOf(blob)));
    const digestOfManifest = sumOf(body);
    await writeFile(join(folder, hexOf(digestOfManifest)), body);
    const mediaType = manifest.mediaType ?? 'application/vnd.oci.image.manifest.v1+json';
    await onDisk(`packing ${reference}`, output, () =>
      packLayout(layout, reference, output, {
        manifest: { mediaType, digest: digestOfManifest, size: body.length },
        arch,
        blobs: [digestOfManifest, ...blobs.keys()].map(hexOf),
      }),
    );
  } finally {
    await rm(layout, { recursive: true, force: true });
  }
};

const fetchFrom = async (reference: string, output: string, from: From, options: Run): Promise<void> => {
  const { arch, report } = options;
  const registry = openRegistry(reference, from, options);
  const { body, manifest } = await fetchManifest(registry, reference, arch);
  const blobs = new Map([manifest.config, ...manifest.layers].map((blob) => [blob.digest, blob.size]));
  await fetchBlobs(registry, reference, blobs, options);
  report({ name: reference, state: 'packing' });
  await packBlobs(reference, output, { body, manifest, blobs }, options);
  for (const blob of blobs.keys()) options.leave(blob, reference);
  report({ name: reference, state: 'done' });
};

/**
 * Downloads an image, anonymously, and writes it to `output` as an archive that containerd imports. Layers stay as
 * published; every blob is verified by its digest, and all by the digest that is pinned for the image. Asks the mirror
 * first and the registry itself only where the mirror fails. Throws a UserError with the answer of each that was asked.
 */
const fetchImage = async (reference: string, output: string, options: Run): Promise<void> => {
  await mkdir(dirname(output), { recursive: true });
  const { limits = retryPolicy, mirror } = options;
  const places: readonly From[] = [
    ...(mirror ? [{ mirror, limits: mirrorPatience(limits) }] : []),
    { mirror: undefined, limits },
  ];
  const failures: UserError[] = [];
  for (const from of places) {
    try {
      return await fetchFrom(reference, output, from, options);
    } catch (thrown) {
      options.signal?.throwIfAborted();
      if (!(thrown instanceof UserError)) throw thrown;
      failures.push(thrown);
    }
  }
  throw new UserError(
    `the image ${reference} cannot be had: ${failures.map(({ message }) => message).join('\n')}`,
    [failures.at(-1)?.next, imageRemedy(reference, options)].filter(Boolean).join('; or '),
  );
};

/** Downloads an image as `fetchImage` does. Images that are asked for together come together. */
export type ImageFetcher = (reference: string, output: string) => Promise<void>;

/** Makes a fetcher of images for one run. */
export const createImageFetcher = (options: ImageOptions): ImageFetcher => {
  const queue = createQueue(atOnce);
  const coming = new Map<string, Promise<void>>();
  const users = new Map<string, Set<string>>();
  const share: Run['share'] = (blob, reference, download) => {
    users.set(blob, (users.get(blob) ?? new Set()).add(reference));
    const known = coming.get(blob);
    if (known) return known;
    const going = queue(download);
    coming.set(blob, going);
    going.catch(() => coming.delete(blob)); // another place may have it
    return going;
  };
  const leave: Run['leave'] = (blob, reference) => {
    users.get(blob)?.delete(reference);
    if (users.get(blob)?.size) return;
    coming.delete(blob);
    rmSync(placeOf(options.cache, blob), { force: true }); // at once: the next image may ask for it
  };
  return (reference, output) => fetchImage(reference, output, { ...options, share, leave });
};
