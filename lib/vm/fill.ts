import { calicoIsWithinReach, fetchCalico, requireCalico } from '../binaries/calico.ts';
import { imageReferences } from '../binaries/needed.ts';
import { type Progress, progressText } from '../binaries/progress.ts';
import { provide } from '../binaries/provide.ts';
import { UserError } from '../engine/errors.ts';
import { architectures, type Cni } from '../engine/lab.ts';
import type { Needs, Source } from '../engine/step.ts';
import { paths } from '../host/paths.ts';

/** The lab that a VM is to get, as far as it decides on what has to be in the cache. */
interface Filling {
  readonly needs: Pick<Needs, 'programs' | 'plugins' | 'images'>;
  /** Version of Kubernetes; absent for the usual one. */
  readonly kubernetes?: string | undefined;
  readonly source?: Source;
  /** Absent: Calico where it can be had. */
  readonly cni?: Cni | undefined;
  /** Mirror that is asked before the registry of an image. */
  readonly registryMirror?: string | undefined;
}

/**
 * Brings everything that `hardway up` will want into the cache, on this machine: a VM has no network.
 * Throws a UserError for a source whose files a VM cannot see, and what `provide` throws.
 */
export const fillCache = async (
  { needs, kubernetes, source = 'auto', cni, registryMirror }: Filling,
  report: (line: string) => void,
  signal?: AbortSignal,
): Promise<void> => {
  if (source === 'dir') {
    throw new UserError(
      `--source ${source} cannot be used in a VM: it sees the cache of this machine and no other folder`,
      'hardway vm up -- --source auto',
    );
  }
  const arch = architectures[process.arch] ?? 'amd64';
  const options = {
    report: (progress: Progress) => {
      if (progress.state !== 'cached') report(progressText(progress));
    },
    registryMirror,
    ...(signal && { signal }),
  };
  const where = { cache: paths.cache, arch, source: { kind: source }, mirror: registryMirror } as const;
  if (cni === 'calico') await requireCalico(where);
  await provide({
    source,
    binaries: [...needs.programs, ...needs.plugins],
    images: imageReferences(needs, kubernetes),
    kubernetes,
    archives: true,
    arch,
    cache: paths.cache,
    ...options,
  });
  if (cni !== 'bridge' && (await calicoIsWithinReach(where))) await fetchCalico(where, options);
};
