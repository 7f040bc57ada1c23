import type { Lab } from '../engine/lab.ts';
import type { Context, Needs } from '../engine/step.ts';
import { paths } from '../host/paths.ts';
import { createTally } from './progress.ts';
import { type Provided, provide } from './provide.ts';
import { imageReference, versions } from './versions.ts';

/** The references of images by their names in versions.yaml, for a version of Kubernetes or the usual one. */
export const imageReferences = ({ images }: Pick<Needs, 'images'>, kubernetes?: string): readonly string[] =>
  images.map((name) => imageReference(name, kubernetes));

/**
 * References of all images of a lab, in the order in which they are needed: that of the sandbox, those of the network
 * itself, the others.
 */
export const labImages = (
  { cni, kubernetes }: Pick<Lab, 'cni'> & Partial<Pick<Lab, 'kubernetes'>>,
  needs: Pick<Needs, 'images'>,
): readonly string[] => {
  const [sandbox, ...others] = imageReferences(needs, kubernetes);
  return [...(sandbox ? [sandbox] : []), ...(cni === 'calico' ? versions().calico.images : []), ...others];
};

/** How far the programs and images are. While they come in the background nobody listens. */
interface Board {
  text: string;
  readonly listeners: Set<Context['progress']>;
}
const boardOf = ({ memo }: Context): Promise<Board> =>
  memo('how far programs and images are', async () => ({ text: '', listeners: new Set() }));

/** Says how far programs and images are, to the steps that wait for them. */
export const tellProgress = async (context: Context, text: string): Promise<void> => {
  const board = await boardOf(context);
  board.text = text;
  for (const listener of board.listeners) listener(text);
};

/** Waits for programs or images, and meanwhile reports how far they are as the progress of this step. */
export const withProgress = async <T>(context: Context, coming: Promise<T>): Promise<T> => {
  const board = await boardOf(context);
  board.listeners.add(context.progress);
  if (board.text) context.progress(board.text);
  try {
    return await coming;
  } finally {
    board.listeners.delete(context.progress);
  }
};

/**
 * Begins to provide every program and image of a lab, from the cache or the run's source, once a run. Throws UserError as
 * `provide` does.
 */
export const provisions = (context: Context): Promise<Provided> =>
  context.memo('provisions', () => {
    const { needs, source, lab, host, signal } = context;
    const tally = createTally();
    return provide({
      source: source.kind,
      ...(source.from && { from: source.from }),
      binaries: [...needs.programs, ...needs.plugins],
      images: labImages(lab, needs),
      kubernetes: lab.kubernetes,
      registryMirror: lab.registryMirror,
      arch: lab.machine.arch,
      cache: paths.cache,
      report: (what) => {
        if (what.state !== 'cached') void tellProgress(context, tally(what));
      },
      signal,
      perform: (argv) => host.sh(argv),
    });
  });
