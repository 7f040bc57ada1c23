import { calicoManifest, requireCalico, whyNoCalico } from '../binaries/calico.ts';
import { labImages } from '../binaries/needed.ts';
import { createTally, type FileProgress, type Progress } from '../binaries/progress.ts';
import { arrival, provide } from '../binaries/provide.ts';
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
  if (source === 'dir' || source === 'bundle') {
    throw new UserError(
      `--source ${source} cannot be used in a VM: it sees the cache of this machine and no other folder`,
      'hardway vm up -- --source auto',
    );
  }
  const arch = architectures[process.arch] ?? 'amd64';
  const where = { cache: paths.cache, arch, source: { kind: source }, mirror: registryMirror } as const;
  if (cni === 'calico') await requireCalico(where);
  const network = cni === 'bridge' || (await whyNoCalico(where)) !== undefined ? 'bridge' : 'calico';
  const tally = createTally();
  const ended = new AbortController();
  const options = {
    report: (progress: Progress) => {
      if (progress.state !== 'cached') report(tally(progress));
    },
    signal: signal ? AbortSignal.any([signal, ended.signal]) : ended.signal,
  };
  try {
    const { binaries, images } = await provide({
      source,
      binaries: [...needs.programs, ...needs.plugins],
      images: labImages({ cni: network, ...(kubernetes !== undefined && { kubernetes }) }, needs),
      kubernetes,
      registryMirror,
      arch,
      cache: paths.cache,
      ...options,
    });
    const manifest = { ...options, report: (one: FileProgress) => options.report({ ...one, kind: 'manifests' }) };
    if (network === 'calico') await calicoManifest(paths.cache, where.source, manifest);
    await Promise.all([arrival(binaries), arrival(images)]);
  } finally {
    ended.abort(); // what still comes, where something cannot be had
  }
};
