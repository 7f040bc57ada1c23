import type { Context, Needs } from '../engine/step.ts';
import { paths } from '../host/paths.ts';
import { progressText } from './progress.ts';
import { type Provided, provide } from './provide.ts';
import { imageReference } from './versions.ts';

/** The references of images by their names in versions.yaml, for a version of Kubernetes or the usual one. */
export const imageReferences = ({ images }: Pick<Needs, 'images'>, kubernetes?: string): readonly string[] =>
  images.map((name) => imageReference(name, kubernetes));

/**
 * Provides every program and image of a lab, from the cache or the run's source, once a run. Throws UserError as
 * `provide` does.
 */
export const provisions = ({ memo, needs, source, lab, host, progress, signal }: Context): Promise<Provided> =>
  memo('provisions', () =>
    provide({
      source: source.kind,
      ...(source.from && { from: source.from }),
      binaries: [...needs.programs, ...needs.plugins],
      images: imageReferences(needs, lab.kubernetes),
      kubernetes: lab.kubernetes,
      arch: lab.machine.arch,
      cache: paths.cache,
      report: (what) => {
        if (what.state !== 'cached') progress(progressText(what));
      },
      signal,
      perform: (argv) => host.sh(argv),
    }),
  );
