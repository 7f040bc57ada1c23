import { chmod, readdir, rmdir } from 'node:fs/promises';
import { removeTree } from '../../../lib/engine/gate.ts';
import { statIfThere } from '../../../lib/host/files.ts';
import { isMountPoint } from '../../../lib/host/mounts.ts';
import { run } from '../../../lib/host/run.ts';
import { folderMode } from '../../../lib/host/snapshot/files.ts';
import type { HostSnapshot } from '../../../lib/host/snapshot.ts';
import { type CleanupScope, wasThere } from './scope.ts';

/** Folders and files that the daemons make by themselves, by the step with which they go. */
const made = {
  kubelet: ['/var/lib/kubelet', '/var/log/pods', '/var/log/containers'],
  network: [
    '/etc/cni/net.d/10-calico.conflist',
    '/etc/cni/net.d/calico-kubeconfig',
    '/var/lib/cni',
    '/var/lib/calico',
    '/var/log/calico',
    '/run/calico',
    '/run/nodeagent',
  ],
  containerd: ['/var/lib/containerd', '/run/containerd', '/run/nri', '/opt/containerd'],
} as const;

/** Removes a path; of a mount point, or a folder that was there before, only what is in it. */
const removePath = async (path: string, { gate, before, shared }: CleanupScope): Promise<void> => {
  const stat = await statIfThere(path);
  if (!stat) return;
  if (shared && /\/containerd$/.test(path)) return gate.reportKept(`${path}: containers or images of others are in it`);
  const stays = wasThere(before, 'file', path) || isMountPoint(path);
  if (!stays) return gate.apply('folders of daemons removed', path, () => removeTree(path));
  if (!stat.isDirectory()) return;
  const inside = (await readdir(path)).filter((name) => !wasThere(before, 'file', `${path}/${name}`));
  if (inside.length > 0)
    await gate.apply('folders of daemons removed', `what is in ${path}`, async () => {
      for (const name of inside) await removeTree(`${path}/${name}`);
    });
  if (!gate.dryRun) await restoreMode(path, before);
};

/** containerd takes rights off the folder that it is given. */
const restoreMode = async (path: string, before: HostSnapshot | undefined): Promise<void> => {
  const mode = folderMode(before?.sections['file']?.[path]);
  if (mode !== undefined) await chmod(path, mode);
};

/** kubectl remembers API servers in the home of whoever called it. */
export const removeKubectlCaches = async ({ gate, before }: CleanupScope): Promise<void> => {
  for (const home of before?.homes ?? ['/root']) {
    const folder = `${home}/.kube`;
    const cache = `${folder}/cache`;
    if (!wasThere(before, 'file', cache) && (await statIfThere(cache)))
      await gate.apply('folders of daemons removed', cache, () => removeTree(cache));
    // One that holds a kubeconfig of ours is in the ledger.
    if (!wasThere(before, 'file', folder) && (await readdir(folder).catch(() => ['none'])).length === 0)
      await gate.apply('folders of daemons removed', folder, () => rmdir(folder));
  }
};

/** The folder in which named network namespaces are; it is a mount of itself once one was made. */
export const removeNetnsFolder = async ({ gate, before }: CleanupScope): Promise<void> => {
  if (gate.dryRun || wasThere(before, 'file', '/run/netns')) return;
  if ((await readdir('/run/netns').catch(() => ['none'])).length > 0) return;
  if (isMountPoint('/run/netns')) await run('umount', ['/run/netns']);
  await rmdir('/run/netns');
};

/** Removes the folders that the daemons of one step made. */
export const removeMade =
  (step: keyof typeof made) =>
  async (aftermath: CleanupScope): Promise<void> => {
    for (const path of made[step]) await removePath(path, aftermath);
  };
