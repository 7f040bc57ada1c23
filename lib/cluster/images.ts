import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { imageRemedy } from '../binaries/cache.ts';
import { calicoArchives } from '../binaries/calico.ts';
import { imageReferences, provisions } from '../binaries/needed.ts';
import { imageReference, versions } from '../binaries/versions.ts';
import { Unhealthy } from '../engine/errors.ts';
import type { Context } from '../engine/step.ts';
import { formatBytes } from '../engine/text.ts';
import { paths, system } from '../host/paths.ts';
import { type Ran, tryRun } from '../host/run.ts';

/** Runs crictl, which asks containerd through the CRI, as the kubelet does. */
export const crictl = (args: readonly string[], signal?: AbortSignal): Promise<Ran> =>
  tryRun(
    `${paths.bin}/crictl`,
    ['-r', `unix://${system.containerdSocket}`, '-i', `unix://${system.containerdSocket}`, ...args],
    {
      ...(args[0] === 'pull' && { timeout: 3_600_000 }),
      signal,
    },
  );

/**
 * Returns the references of the images that containerd has for the kubelet. Throws containerd's own message when it
 * does not answer.
 */
const present = async (signal: AbortSignal): Promise<ReadonlySet<string>> => {
  const { stdout, code, stderr } = await crictl(['images', '--output', 'json'], signal);
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
    const { code, stderr } = await crictl(['pull', reference], AbortSignal.any([signal, stalled.signal]));
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

/**
 * Imports or pulls the images that containerd lacks, one after the other: from its archive where there is one, else
 * from its registry. Throws Unhealthy, with the reason, at the first that cannot be had.
 */
const bringAll = async (
  context: Context,
  archives: ReadonlyMap<string, string>,
  references: readonly string[],
): Promise<void> => {
  const there = await present(context.signal);
  const missing = references.filter((reference) => !there.has(reference));
  const board = await boardOf(context);
  const tell = (text: string): void => {
    board.text = text;
    for (const listener of board.listeners) listener(text);
  };
  for (const [index, reference] of missing.entries()) {
    const archive = archives.get(reference);
    if (archive) tell(`importing ${reference}: ${index + 1} of ${missing.length}`);
    const words = archive
      ? await importArchive(context.signal, archive)
      : await pullImage(reference, tell, context.signal);
    if (words === undefined) continue;
    throw new Unhealthy(`the image ${reference} cannot be had: ${words}`, {
      next: imageRemedy(reference, { cache: paths.cache, arch: context.lab.machine.arch }),
    });
  }
  board.text = '';
};

/** Progress of the images, for the step that waits for them. While they come in the background nobody listens. */
interface PullProgress {
  text: string;
  readonly listeners: Set<Context['progress']>;
}
const boardOf = ({ memo }: Context): Promise<PullProgress> =>
  memo('how far the images are', async () => ({ text: '', listeners: new Set() }));

const withProgress = async (context: Context, coming: Promise<void>): Promise<void> => {
  const board = await boardOf(context);
  board.listeners.add(context.progress);
  if (board.text) context.progress(board.text);
  try {
    await coming;
  } finally {
    board.listeners.delete(context.progress);
  }
};

const sandboxImage = (context: Context): Promise<void> =>
  context.memo('sandbox image', async () =>
    bringAll(context, (await provisions(context)).images, [imageReference('pause', context.lab.kubernetes)]),
  );

const calicoImages = (context: Context): Promise<void> =>
  context.memo('images of Calico', async () =>
    bringAll(
      context,
      await calicoArchives({ cache: paths.cache, arch: context.lab.machine.arch, source: context.source }),
      versions().calico.images,
    ),
  );

/** Brings every image of the lab, once a run; first those of the network, which are needed first. */
const allImages = (context: Context): Promise<void> =>
  context.memo('images', async () => {
    if (context.lab.cni === 'calico') await calicoImages(context);
    await bringAll(context, (await provisions(context)).images, imageReferences(context.needs, context.lab.kubernetes));
  });

/** Starts to bring every image of the lab into containerd. Steps that need them wait for them and get the error. */
export const startPulls = (context: Context): void => void allImages(context);

/** Waits for the sandbox image; without it no Pod starts. */
export const ensureSandboxImage = (context: Context): Promise<void> => withProgress(context, sandboxImage(context));

/** Waits for Calico's images, from their archives or their registry. */
export const ensureCalicoImages = (context: Context): Promise<void> => withProgress(context, calicoImages(context));

/** Waits for every image of the lab. */
export const ensureImages = (context: Context): Promise<void> => withProgress(context, allImages(context));
