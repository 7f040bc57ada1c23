import { calicoIsWithinReach, fetchCalico, requireCalico } from '../binaries/calico.ts';
import type { Progress } from '../binaries/progress.ts';
import { provide } from '../binaries/provide.ts';
import { versions } from '../binaries/versions.ts';
import { UserError } from '../engine/errors.ts';
import { mirrorOf } from '../engine/settings.ts';
import { paths } from '../host/paths.ts';

/**
 * Lists the binaries and images of a lab. The binary of an image comes with its image; Go needs five minutes to build
 * Traefik, so it is there only when asked for.
 */
export const wanted = ({ ingress }: { readonly ingress: boolean }) => {
  const { products, images } = versions();
  const packed = new Set(Object.values(images).map(({ binary }) => binary));
  return {
    binaries: Object.values(products)
      .flatMap(({ packages }) => Object.keys(packages))
      .filter((binary) => !packed.has(binary)),
    images: Object.entries(images)
      .filter(([name]) => ingress || name !== 'traefik')
      .map(([, { reference }]) => reference),
  };
};

/** Returns the value of an option in a command line, written `--option value` or `--option=value`. */
export const optionIn = (words: readonly string[], option: string): string | undefined => {
  const at = words.findIndex((word) => word === option || word.startsWith(`${option}=`));
  const word = words[at];
  return word?.startsWith(`${option}=`) ? word.slice(option.length + 1) : word && words[at + 1];
};

const inWords = ({ name, state, bytes, total }: Progress): string => {
  const megabytes =
    bytes === undefined ? '' : ` ${Math.round(bytes / 1e6)}${total ? `/${Math.round(total / 1e6)}` : ''} MB`;
  return `${state} ${name}${megabytes}`;
};

/**
 * Brings everything that `hardway up FLAGS` will need into the cache, on this machine: a VM has no network. Throws a
 * UserError for a source whose files a VM cannot see, and what `provide` throws.
 */
export const fillCache = async (flags: readonly string[], report: (line: string) => void, signal?: AbortSignal) => {
  const source = optionIn(flags, '--source') ?? 'auto';
  if (source !== 'auto' && source !== 'release' && source !== 'go') {
    throw new UserError(
      `--source ${source} cannot be used in a VM: it sees the cache of this machine and no other folder`,
      'hardway vm up -- --source auto',
    );
  }
  const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const asked = optionIn(flags, '--registry-mirror');
  const mirror = asked === undefined ? undefined : mirrorOf(asked);
  const options = {
    report: (progress: Progress) => {
      if (progress.state !== 'cached') report(inWords(progress));
    },
    registryMirror: mirror,
    ...(signal && { signal }),
  };
  const cni = optionIn(flags, '--cni');
  const where = { cache: paths.cache, arch, source: { kind: source }, mirror } as const;
  if (cni === 'calico') await requireCalico(where);
  await provide({
    source,
    ...wanted({ ingress: optionIn(flags, '--with') === 'ingress' }),
    archives: true,
    arch,
    cache: paths.cache,
    ...options,
  });
  if (cni !== 'bridge' && (await calicoIsWithinReach(where))) await fetchCalico(where, options);
};
