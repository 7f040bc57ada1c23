import { copyFile, mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Arch } from '../engine/lab.ts';
import { sha256OfFile } from '../host/files.ts';
import type { Image } from './versions.ts';

/** Writes a tar without owners and times, so that the same binary gives the same archive, byte for byte. */
const pack = async (cwd: string, file: string, entries: readonly string[]): Promise<void> => {
  const { create } = await import('tar');
  await create({ cwd, file, portable: true, mtime: new Date(0) }, [...entries]);
};

/** Description of a blob in an OCI layout: https://github.com/opencontainers/image-spec/blob/main/descriptor.md */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/**
 * Packs an OCI layout into a tar. The folder `layout` has blobs/sha256/DIGEST for each of `blobs` (hex); the image's
 * name goes into the annotation that containerd reads.
 */
export const packLayout = async (
  layout: string,
  reference: string,
  output: string,
  { manifest, arch, blobs }: { readonly manifest: Descriptor; readonly arch: Arch; readonly blobs: readonly string[] },
): Promise<void> => {
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        ...manifest,
        platform: { architecture: arch, os: 'linux' },
        annotations: { 'io.containerd.image.name': reference },
      },
    ],
  };
  await writeFile(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFile(join(layout, 'index.json'), JSON.stringify(index));
  await pack(layout, output, ['oci-layout', 'index.json', ...blobs.map((digest) => `blobs/sha256/${digest}`)]);
};

/** Returns the config of an image: https://github.com/opencontainers/image-spec/blob/main/config.md */
export const imageConfig = (image: Image, arch: Arch, layer: string): object => ({
  architecture: arch,
  os: 'linux',
  config: {
    Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    Entrypoint: [`/${image.binary}`],
    ...(image.command && { Cmd: image.command }),
    WorkingDir: '/',
  },
  rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
});

/**
 * Packs a static binary into an image archive and writes it to `output`, which must be on the disk of the cache. The
 * only layer is not compressed, so that containerd only has to copy it. The image names no user, so it runs as root
 * unless the Pod says otherwise.
 */
export const packImage = async (image: Image, arch: Arch, binary: string, output: string): Promise<void> => {
  await mkdir(dirname(output), { recursive: true });
  const folder = await mkdtemp(`${output}.`);
  const blobs = join(folder, 'layout/blobs/sha256');
  try {
    await mkdir(blobs, { recursive: true });
    await mkdir(join(folder, 'root'));
    await copyFile(binary, join(folder, 'root', image.binary));
    const keepBlob = async (file: string) => {
      const digest = await sha256OfFile(file);
      const { size } = await stat(file);
      await rename(file, join(blobs, digest));
      return { digest, size };
    };
    const keepJson = async (value: object) => {
      await writeFile(join(folder, 'blob'), JSON.stringify(value));
      return keepBlob(join(folder, 'blob'));
    };
    const descriptor = (mediaType: string, blob: { digest: string; size: number }): Descriptor => ({
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest: `sha256:${blob.digest}`,
      size: blob.size,
    });

    await pack(join(folder, 'root'), join(folder, 'blob'), [image.binary]);
    const layer = await keepBlob(join(folder, 'blob'));
    const config = await keepJson(imageConfig(image, arch, layer.digest));
    const manifest = await keepJson({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptor('config.v1+json', config),
      layers: [descriptor('layer.v1.tar', layer)],
    });
    await packLayout(join(folder, 'layout'), image.reference, output, {
      manifest: descriptor('manifest.v1+json', manifest),
      arch,
      blobs: [manifest, config, layer].map(({ digest }) => digest),
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
