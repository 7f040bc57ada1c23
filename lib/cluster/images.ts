import { calicoArchives } from '../binaries/calico.ts';
import { imageReferences, provisions } from '../binaries/needed.ts';
import { imageReference, versions } from '../binaries/versions.ts';
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
const bring = async (context: Context, reference: string, archive: string | undefined): Promise<void> => {
  const done = archive
    ? await tryRun(`${paths.bin}/ctr`, ['-a', socket, '-n', 'k8s.io', 'images', 'import', archive], {
        signal: context.signal,
      })
    : await crictl(['pull', reference], context.signal);
  if (done.code === 0) return;
  throw new Unhealthy(`the image ${reference} cannot be had: ${done.stderr.trim().split('\n').at(-1)}`, {
    next:
      context.lab.cni === 'calico'
        ? 'hardway up --cni bridge needs no image from a registry; or give a mirror in /etc/hardway.yaml'
        : 'hardway up --source go builds the images where a Go toolchain is',
  });
};

/** Brings those of the images that containerd has not, one after the other. */
const bringAll = async (
  context: Context,
  archives: ReadonlyMap<string, string>,
  references: readonly string[],
): Promise<void> => {
  const there = await present();
  for (const reference of references) {
    if (!there.has(reference)) await bring(context, reference, archives.get(reference));
  }
};

/** Brings the sandbox image into containerd; without it no Pod starts. Once a run. */
export const haveSandboxImage = (context: Context): Promise<void> =>
  context.once('sandbox image', async () =>
    bringAll(context, (await provisions(context)).images, [imageReference('pause')]),
  );

/** Brings Calico's images into containerd, from the cache's archives or their registry; once a run. */
export const haveCalicoImages = (context: Context): Promise<void> =>
  context.once('images of Calico', async () =>
    bringAll(
      context,
      await calicoArchives({ cache: paths.cache, arch: context.lab.machine.arch }),
      versions().calico.images,
    ),
  );

/** Brings every image of the lab into containerd, those of the network first; once a run. */
export const haveImages = (context: Context): Promise<void> =>
  context.once('images', async () => {
    if (context.lab.cni === 'calico') await haveCalicoImages(context);
    await bringAll(context, (await provisions(context)).images, imageReferences(context.lab));
  });
