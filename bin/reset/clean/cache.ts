import { readdir } from 'node:fs/promises';
import { isMountPoint } from '../../../lib/host/mounts.ts';
import { paths } from '../../../lib/host/paths.ts';
import { removeTree } from '../../../lib/host/remove.ts';
import type { Reset } from './scope.ts';

/**
 * Folders of the cache whose content can be brought again. The cache also has the launcher's own Node, which runs this
 * very program.
 */
const folders = ['bin', 'build', 'downloads', 'images', 'manifests', 'vm'];

/** Deletes downloads and builds, folder by folder, unless another machine uses them: a VM uses those of its host. */
export const purgeCache = async ({ undoer, failures }: Pick<Reset, 'undoer' | 'failures'>): Promise<void> => {
  if (failures.length > 0) return;
  if (isMountPoint(paths.cache))
    return undoer.reportKept(`${paths.cache} is mounted here: it is another machine's too`);
  const vms = await readdir(paths.vms).catch((): string[] => []);
  if (vms.length > 0)
    return undoer.reportKept(
      `${paths.cache}: VMs of this machine live on it (${vms.join(', ')}); hardway vm delete ends one`,
    );
  const there = await readdir(paths.cache).catch((): string[] => []);
  for (const name of folders.filter((one) => there.includes(one)))
    await undoer.apply(`${paths.cache}/${name}`, () => removeTree(`${paths.cache}/${name}`));
};
