import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { imageRemedy } from '../binaries/cache.ts';
import { imageReferences, labImages, provisions, tellProgress, withProgress } from '../binaries/needed.ts';
import { createQueue, type Queue } from '../binaries/queue.ts';
import { imageReference, versions } from '../binaries/versions.ts';
import { Bug, Unhealthy } from '../engine/errors.ts';
import type { Context } from '../engine/step.ts';
import { formatBytes } from '../engine/text.ts';
import { paths, system } from '../host/paths.ts';
import { type Ran, type RunOptions, tryRun } from '../host/run.ts';

/** Runs crictl, which asks containerd through the CRI, as the kubelet does. */
export const crictl = (args: readonly string[], options: Pick<RunOptions, 'signal' | 'timeout'> = {}): Promise<Ran> => {
  const socket = `unix://${system.containerdSocket}`;
  return tryRun(`${paths.bin}/crictl`, ['-r', socket, '-i', socket, ...args], options);
};

/**
 * Returns the references of the images that containerd has for the kubelet. Throws containerd's own message when it
 * does not answer.
 */
const present = async (signal: AbortSignal): Promise<ReadonlySet<string>> => {
  const { stdout, code, stderr } = await crictl(['images', '--output', 'json'], { signal });
  if (code !== 0) throw new Error(wordsOf(stderr));
  const { images } = JSON.parse(stdout) as { images: { repoTags: string[] }[] };
  return new Set(images.flatMap(({ repoTags }) => repoTags));
};

/** Throws unless containerd has the image. */
export const hasImage = async (reference: string, signal: AbortSignal): Promise<void> => {
  if (!(await present(signal)).has(reference)) throw new Error(`the image ${reference} is not in containerd`);
};

/** Milliseconds without a byte until a registry is given up; a person has to know within 30 s. */
const stallTimeoutMs = 25_000;

const content = `${system.containerd}/io.containerd.content.v1.content`;

/**
 * Returns the bytes that containerd has of all images, and whether some are still coming: incomplete ones are in
 * `ingest`.
 */
const bytesOnDisk = async (): Promise<{ readonly bytes: number; readonly coming: boolean }> => {
  const files = await readdir(content, { recursive: true, withFileTypes: true }).catch(() => []);
  const sizes = await Promise.all(
    files
      .filter((one) => one.isFile())
      .map(({ parentPath, name }) =>
        stat(join(parentPath, name)).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
  );
  const coming = files.some(({ parentPath, name }) => name === 'data' && parentPath.includes('/ingest/'));
  return { bytes: sizes.reduce((sum, size) => sum + size, 0), coming };
};

/**
 * Returns containerd's message without crictl's time stamp and the repeated name: `... level=fatal msg="pulling image:
 * ..."`.
 */
export const wordsOf = (stderr: string): string => {
  const line = stderr.trim().split('\n').at(-1) ?? '';
  const quoted = /msg=("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
  const words = quoted ? (JSON.parse(quoted) as string) : line;
  return words.replace(/^pulling image: /, '').replace(/^failed to pull and unpack image "[^"]*": /, '');
};

/** Pulls an image with containerd and reports the bytes that came. Returns undefined on success, else the reason. */
export const pullImage = async (
  reference: string,
  progress: Context['progress'],
  signal: AbortSignal,
): Promise<string | undefined> => {
  const stalled = new AbortController();
  const begin = { ...(await bytesOnDisk()), at: performance.now() };
  let last = begin;
  progress(`pulling ${reference}`);
  const watch = setInterval(async () => {
    const now = { ...(await bytesOnDisk()), at: performance.now() };
    if (now.bytes !== last.bytes) {
      last = now;
      const bytes = now.bytes - begin.bytes;
      const speed = (bytes / (now.at - begin.at)) * 1000;
      progress(`pulling ${reference}: ${formatBytes(bytes)}, ${formatBytes(speed)}/s`);
    }
    // When all bytes have come, containerd unpacks: that is no stall.
    const waits = now.coming || last === begin;
    if (waits && now.at - last.at > stallTimeoutMs) stalled.abort();
  }, 1000);
  try {
    const { code, stderr } = await crictl(['pull', reference], {
      signal: AbortSignal.any([signal, stalled.signal]),
      timeout: 3_600_000,
    });
    return code === 0 ? undefined : wordsOf(stderr);
  } catch (thrown) {
    signal.throwIfAborted();
    if (!stalled.signal.aborted) throw thrown;
    return `nothing came from its registry for ${stallTimeoutMs / 1000} s`;
  } finally {
    clearInterval(watch);
  }
};

/**
 * Imports an archive; returns undefined on success, else the reason. With `--local` ctr reads the archive itself, twice
 * as fast as containerd's transfer service (2.2.7).
 */
const importArchive = async (signal: AbortSignal, archive: string): Promise<string | undefined> => {
  const { code, stderr } = await tryRun(
    `${paths.bin}/ctr`,
    ['-a', system.containerdSocket, '-n', 'k8s.io', 'images', 'import', '--local', archive],
    { timeout: 600_000, signal },
  );
  return code === 0 ? undefined : `${archive}: ${wordsOf(stderr)}`;
};

/** Brings one image of the lab into containerd: imports its archive as soon as it is there. */
const bring = async (context: Context, reference: string, turn: Queue, there: ReadonlySet<string>): Promise<void> => {
  if (there.has(reference)) return;
  const archive = await (await provisions(context)).images.get(reference);
  if (archive === undefined) throw new Bug(`${reference} is not among the images of this lab`);
  const words = await turn(async () => {
    await tellProgress(context, `importing ${reference}`);
    return importArchive(context.signal, archive);
  });
  if (words === undefined) return;
  throw new Unhealthy(`the image ${reference} cannot be had: ${words}`, {
    next: imageRemedy(reference, { cache: paths.cache, arch: context.lab.machine.arch }),
  });
};

/** Begins to bring every image of the lab into containerd, once a run, one import after the other. */
const images = (context: Context): Promise<ReadonlyMap<string, Promise<void>>> =>
  context.memo('images', async () => {
    const there = await present(context.signal);
    const turn = createQueue(1);
    return new Map(
      labImages(context.lab, context.needs).map((reference) => {
        const coming = bring(context, reference, turn, there);
        coming.catch(() => undefined); // awaited by the steps that need it
        return [reference, coming] as const;
      }),
    );
  });

/** Waits for images of the lab, by their references. Throws why one cannot be had. */
const ensure = async (context: Context, references: readonly string[]): Promise<void> => {
  const coming = await images(context);
  await withProgress(context, Promise.all(references.map((reference) => coming.get(reference))));
};

/**
 * Starts to bring the images of the lab into containerd, and waits for the sandbox image, without which no Pod starts. The
 * steps that need another wait for that one and get its error.
 */
export const startImages = (context: Context): Promise<void> =>
  ensure(context, [imageReference('pause', context.lab.kubernetes)]);

/** Waits for Calico's images. */
export const ensureCalicoImages = (context: Context): Promise<void> => ensure(context, versions().calico.images);

/** Waits for images by their names in versions.yaml. */
export const ensureImages = (context: Context, ...names: readonly string[]): Promise<void> =>
  ensure(context, imageReferences({ images: names }, context.lab.kubernetes));
