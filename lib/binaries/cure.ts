import { archivePath } from './cache.ts';
import { type Arch, versions } from './versions.ts';

/** Returns what to do about an image that cannot be had, for the end of an error's message. */
export const imageRemedy = (
  reference: string,
  { cache, arch }: { readonly cache: string; readonly arch: Arch },
): string =>
  [
    versions().calico.images.includes(reference)
      ? 'hardway up --cni bridge needs none of the images of Calico (hardway reset first, where a lab has begun with it)'
      : 'hardway up --source go builds it where a Go toolchain is',
    'or name a mirror: --registry-mirror URL',
    `or put its archive where it is looked for: ${archivePath(cache, arch, reference)}`,
  ].join('; ');
