import { copyFile, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { imageReferences } from '../../lib/binaries/needed.ts';
import { createTally } from '../../lib/binaries/progress.ts';
import { arrival, provide } from '../../lib/binaries/provide.ts';
import { versions } from '../../lib/binaries/versions.ts';
import { architectures } from '../../lib/engine/lab.ts';
import { needsOf, type Step } from '../../lib/engine/step.ts';
import { paths } from '../../lib/host/paths.ts';
import { everyStep } from '../../steps/index.ts';

/** Calico's manifest lies beside this checkout where its release site is out of reach; the product verifies its checksum. */
const bringCalicoManifest = async (): Promise<void> => {
  const name = `calico-${versions().calico.version}.yaml`;
  const beside = join(import.meta.dirname, '../../../shared/calico', name);
  const cached = join(paths.cache, 'manifests', name);
  const isThere = (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );
  if ((await isThere(cached)) || !(await isThere(beside))) return;
  await mkdir(join(paths.cache, 'manifests'), { recursive: true });
  await copyFile(beside, cached);
};

/** Brings into the cache what these steps need: a VM has no network. Cold, with Go, all of it is a quarter of an hour. */
export const bringNeedsOf = async (steps: readonly Step[]): Promise<void> => {
  const arch = architectures[process.arch];
  if (process.getuid?.() !== 0 || !arch) return; // bin/test says why e2e is skipped
  let last = '';
  const needs = needsOf(steps);
  const tally = createTally();
  const { binaries, images } = await provide({
    source: 'auto',
    binaries: [...needs.programs, ...needs.plugins],
    images: imageReferences(needs),
    arch,
    cache: paths.cache,
    report: (progress) => {
      if (progress.state === 'cached') return;
      const line = tally(progress);
      if (line === last || progress.state === 'downloading') return;
      last = line;
      console.log(`cache: ${line}`);
    },
  });
  await Promise.all([arrival(binaries), arrival(images)]);
};

/** Fills the cache before the first VM is made. A file that wants an extra brings it itself: Go takes minutes for it. */
export const setup = async (): Promise<void> => {
  await bringNeedsOf(everyStep.filter(({ extra }) => !extra));
  if (process.getuid?.() === 0) await bringCalicoManifest();
};
