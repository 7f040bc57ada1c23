import { namespacesWithData } from '../../../lib/cluster/containerd-data.ts';
import { statIfThere } from '../../../lib/host/files.ts';
import { paths, system } from '../../../lib/host/paths.ts';
import { tryRun } from '../../../lib/host/run.ts';
import type { Reset } from './scope.ts';

const ctr = (...args: readonly string[]) =>
  tryRun(`${paths.bin}/ctr`, ['--address', system.containerdSocket, '--timeout', '5s', ...args], {
    timeout: 30_000,
  });
const words = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '');

/** Namespace of Kubernetes' containers and images. */
const kubernetes = 'k8s.io';

/** Lists the namespaces of containerd, other than Kubernetes', that have a container or an image; also of one that has ended. */
export const foreignNamespaces = async (): Promise<readonly string[]> =>
  (await namespacesWithData(system.containerd)).filter((name) => name !== kubernetes);

/** Removes all Pods through the CRI, for a containerd that keeps running. */
export const removePods = async ({ undoer }: Reset): Promise<void> => {
  if (!(await statIfThere(system.containerdSocket))) return;
  const crictl = (...args: readonly string[]) =>
    tryRun(`${paths.bin}/crictl`, ['-r', `unix://${system.containerdSocket}`, '-t', '20s', ...args], {
      timeout: 300_000,
    });
  const list = async (): Promise<readonly string[]> => {
    const { stdout, stderr, code } = await crictl('pods', '--quiet');
    if (code !== 0) throw new Error(`containerd does not list its Pods: ${stderr.trim().split('\n').at(-1)}`);
    return words(stdout);
  };
  const pods = await list();
  if (pods.length === 0) return;
  await undoer.apply(`${pods.length} Pods`, async () => {
    const { stderr } = await crictl('rmp', '--all', '--force');
    const left = await list();
    if (left.length > 0)
      throw new Error(`containerd still has ${left.length} of them: ${stderr.trim().split('\n').at(-1)}`);
  });
};

/** Removes Kubernetes' namespace from containerd's data, where the rest belongs to somebody else. */
export const removeKubernetesNamespace = async ({ undoer }: Reset): Promise<void> => {
  if (!(await namespacesWithData(system.containerd)).includes(kubernetes)) return;
  await undoer.apply('namespace k8s.io', async () => {
    for (const kind of ['containers', 'images', 'leases']) {
      const names = words((await ctr('-n', 'k8s.io', kind, 'list', '--quiet')).stdout);
      const sync = kind === 'containers' ? [] : ['--sync'];
      if (names.length > 0) await ctr('-n', 'k8s.io', kind, 'delete', ...sync, ...names);
    }
    const snapshots = words((await ctr('-n', 'k8s.io', 'snapshots', 'list')).stdout).slice(1);
    for (const line of snapshots.reverse()) await ctr('-n', 'k8s.io', 'snapshots', 'delete', line.split(/\s/)[0] ?? '');
    const { code, stderr } = await ctr('namespaces', 'remove', 'k8s.io');
    if (code !== 0) throw new Error(stderr.trim());
  });
};

/** Tells whether containerd made a mount for a container that is not Kubernetes'. */
export const isOfOtherContainers = (point: string): boolean =>
  point.startsWith('/run/containerd/') && !/\/k8s\.io\/|\.grpc\.v1\.cri\//.test(point);
