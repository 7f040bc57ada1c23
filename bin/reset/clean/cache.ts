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

/** Returns why the cache stays: another machine uses it, as a VM uses that of its host. Undefined where it may go. */
export const reasonToKeepCache = async (): Promise<string | undefined> => {
  if (isMountPoint(paths.cache)) return `${paths.cache} is mounted here: it is another machine's too`;
  const vms = await readdir(paths.vms).catch((): string[] => []);
  if (vms.length === 0) return undefined;
  return `${paths.cache}: VMs of this machine live on it (${vms.join(', ')}); hardway vm delete ends one`;
};

/** Deletes downloads and builds, folder by folder, unless the cache has to stay. */
export const purgeCache = async ({ undoer, failures }: Pick<Reset, 'undoer' | 'failures'>): Promise<void> => {
  if (failures.length > 0) return;
  const kept = await reasonToKeepCache();
  if (kept !== undefined) return undoer.reportKept(kept);
  const there = await readdir(paths.cache).catch((): string[] => []);
  for (const name of folders.filter((one) => there.includes(one)))
    await undoer.apply(`${paths.cache}/${name}`, () => removeTree(`${paths.cache}/${name}`));
};
