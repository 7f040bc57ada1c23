import { once } from 'node:events';
import { connect } from 'node:net';
import { namespacesWithData } from '../../../lib/cluster/containerd-data.ts';
import { crictl, wordsOf } from '../../../lib/cluster/images.ts';
import { supervisorOf } from '../../../lib/daemons/supervisor.ts';
import { until } from '../../../lib/engine/check.ts';
import { sentenceOf } from '../../../lib/engine/errors.ts';
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

/** Use of containerd's data by others, as far as it can be seen. */
interface Sharing {
  readonly shared: boolean;
  /** Reason for which the data count as shared without a look into them. */
  readonly unreadable?: string;
}

/**
 * Tells whether a namespace of containerd other than Kubernetes' has a container or an image, whether containerd runs or
 * not. Data that cannot be read count as shared.
 */
export const sharingOfContainerd = async (): Promise<Sharing> => {
  try {
    const namespaces = await namespacesWithData(system.containerd);
    return { shared: namespaces.some((name) => name !== kubernetes) };
  } catch (error) {
    const unreadable = `${system.containerd}: others may have containers or images in it, its list cannot be read: ${sentenceOf(error)}`;
    return { shared: true, unreadable };
  }
};

/** Throws where nobody listens on containerd's socket; one that was killed leaves the file. */
const mustListen = async (): Promise<void> => {
  const socket = connect(system.containerdSocket);
  try {
    await once(socket, 'connect');
  } finally {
    socket.destroy();
  }
};

/**
 * Makes containerd listen: starts one that has ended, as long as its unit is here. Returns false without a unit, because
 * an earlier reset has removed it, and in a dry run. Throws where it does not start.
 */
const wakeContainerd = async ({ undoer, plan, signal }: Reset): Promise<boolean> => {
  const listens = await mustListen().then(
    () => true,
    () => false,
  );
  if (listens) return true;
  const supervisor = supervisorOf(plan);
  const [status] = await supervisor.statuses([plan.runtime]);
  if (undoer.dryRun || !status?.exists) return false;
  await supervisor.resume(plan.runtime);
  await until('containerd listens', mustListen, { signal, deadline: 30_000 });
  return true;
};

/** Returns the ids of all Pods. Throws containerd's words where it does not list them. */
const listPods = async (): Promise<readonly string[]> => {
  const { stdout, stderr, code } = await crictl(['-t', '20s', 'pods', '--quiet']);
  if (code !== 0) throw new Error(`containerd does not list its Pods: ${wordsOf(stderr)}`);
  return words(stdout);
};

/** Removes all Pods through the CRI, for a containerd that keeps running. */
export const removePods = async (scope: Reset): Promise<void> => {
  if (!(await wakeContainerd(scope))) return;
  const pods = await listPods();
  if (pods.length === 0) return;
  await scope.undoer.apply(`${pods.length} Pods`, async () => {
    const { stderr } = await crictl(['-t', '20s', 'rmp', '--all', '--force'], { timeout: 300_000 });
    const left = await listPods();
    if (left.length > 0) throw new Error(`containerd still has ${left.length} of them: ${wordsOf(stderr)}`);
  });
};

/** Removes Kubernetes' namespace from containerd's data, where the rest belongs to somebody else. */
export const removeKubernetesNamespace = async (scope: Reset): Promise<void> => {
  const { undoer } = scope;
  const unread: readonly string[] = []; // the reset has said so before its first stage
  const namespaces = await namespacesWithData(system.containerd).catch(() => unread);
  if (!namespaces.includes(kubernetes)) return;
  if (!(await wakeContainerd(scope)) && !undoer.dryRun)
    return undoer.reportKept(
      `namespace ${kubernetes} in ${system.containerd}: containerd has ended and its unit is gone`,
    );
  await undoer.apply(`namespace ${kubernetes}`, async () => {
    for (const kind of ['containers', 'images', 'leases']) {
      const names = words((await ctr('-n', kubernetes, kind, 'list', '--quiet')).stdout);
      const sync = kind === 'containers' ? [] : ['--sync'];
      if (names.length > 0) await ctr('-n', kubernetes, kind, 'delete', ...sync, ...names);
    }
    const snapshots = words((await ctr('-n', kubernetes, 'snapshots', 'list')).stdout).slice(1);
    for (const line of snapshots.reverse())
      await ctr('-n', kubernetes, 'snapshots', 'delete', line.split(/\s/)[0] ?? '');
    const { code, stderr } = await ctr('namespaces', 'remove', kubernetes);
    if (code !== 0) throw new Error(stderr.trim());
  });
};

/** Tells whether containerd made a mount for a container that is not Kubernetes'. */
export const isOfOtherContainers = (point: string): boolean =>
  point.startsWith('/run/containerd/') && !/\/k8s\.io\/|\.grpc\.v1\.cri\//.test(point);
