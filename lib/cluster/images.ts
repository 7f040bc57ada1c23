import { provisions } from '../binaries/needed.ts';
import { imageReference } from '../binaries/versions.ts';
import { Unhealthy } from '../engine/errors.ts';
import type { Context } from '../engine/step.ts';
import { paths } from '../host/paths.ts';
import { type Ran, tryRun } from '../host/run.ts';

const socket = '/run/containerd/containerd.sock';

/** Asks containerd through the CRI, as the kubelet does. */
export const crictl = (args: readonly string[], signal?: AbortSignal): Promise<Ran> =>
  tryRun(`${paths.bin}/crictl`, ['-r', `unix://${socket}`, '-i', `unix://${socket}`, ...args], {
    ...(signal && { signal }),
  });

/** The references that containerd has for the kubelet. Throws containerd's own words when it does not answer. */
const present = async (): Promise<ReadonlySet<string>> => {
  const { stdout, code, stderr } = await crictl(['images', '--output', 'json']);
  if (code !== 0) throw new Error(stderr.trim().split('\n').at(-1));
  const { images } = JSON.parse(stdout) as { images: { repoTags: string[] }[] };
  return new Set(images.flatMap(({ repoTags }) => repoTags));
};

/** Throws unless the image is in containerd. */
export const hasImage = async (reference: string): Promise<void> => {
  if (!(await present()).has(reference)) throw new Error(`the image ${reference} is not in containerd`);
};

/** From its archive where there is one, else from its registry. Throws Unhealthy with containerd's own words. */
const bring = async (context: Context, reference: string): Promise<void> => {
  const archive = (await provisions(context)).images.get(reference);
  const done = archive
    ? await tryRun(`${paths.bin}/ctr`, ['-a', socket, '-n', 'k8s.io', 'images', 'import', archive], {
        signal: context.signal,
      })
    : await crictl(['pull', reference], context.signal);
  if (done.code === 0) return;
  throw new Unhealthy(`the image ${reference} cannot be had: ${done.stderr.trim().split('\n').at(-1)}`, {
    next: 'hardway up --source go builds the images where a Go toolchain is',
  });
};

/**
 * Brings the sandbox image into containerd; without it no Pod starts. Once a run.
 */
export const haveSandboxImage = (context: Context): Promise<void> =>
  context.once('sandbox image', async () => {
    const reference = imageReference('pause');
    if (!(await present()).has(reference)) await bring(context, reference);
  });

/** Brings the images of CoreDNS and the smoke test into containerd, one after the other; once a run. */
export const haveImages = (context: Context): Promise<void> =>
  context.once('images', async () => {
    const there = await present();
    for (const reference of [imageReference('coredns'), imageReference('agnhost')]) {
      if (!there.has(reference)) await bring(context, reference);
    }
  });
