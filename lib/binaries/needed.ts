import type { Lab } from '../engine/lab.ts';
import type { Context, Needs, Step } from '../engine/step.ts';
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
  if (text) for (const listener of board.listeners) listener(text);
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

/** Programs that are on the way to their places in this run: name to what ends when it is there. */
export const onTheWay = ({ memo }: Context): Promise<Map<string, Promise<void>>> =>
  memo('programs on the way to their places', async () => new Map());

/** Waits until the programs of a step are in their places, where this run puts them there. */
export const programsReady = async ({ needs }: Pick<Step, 'needs'>, context: Context): Promise<void> => {
  const all = await onTheWay(context);
  const coming = [...(needs?.programs ?? []), ...(needs?.plugins ?? [])].flatMap((name) => all.get(name) ?? []);
  if (coming.length > 0) await withProgress(context, Promise.all(coming));
};

/**
 * Begins to provide every program and image of a lab, from the cache or the run's source, once a run. Throws UserError as
 * `provide` does.
 */
export const provisions = (context: Context): Promise<Provided> =>
  context.memo('provisions', async () => {
    const { needs, source, lab, host, signal } = context;
    const tally = createTally();
    const provided = await provide({
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
    const { binaries, images } = provided;
    Promise.allSettled([...binaries.values(), ...images.values()]).then(() => tellProgress(context, ''));
    return provided;
  });
