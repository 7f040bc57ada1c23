import { readdir, rm } from 'node:fs/promises';
import { isMountPoint, mountTable } from '../../../lib/host/mounts.ts';
import { ipJson } from '../../../lib/host/net.ts';
import { processesUsing } from '../../../lib/host/proc.ts';
import { run, tryRun } from '../../../lib/host/run.ts';
import { hasRoute } from '../../../lib/host/snapshot/network.ts';
import { type CleanupScope, wasThere } from './scope.ts';

/** Where mounts of Pods and of their runtime are, and the step that brings them; what ends in / is a folder of them. */
const mountPlaces: readonly (readonly [step: string, place: string])[] = [
  ['kubelet', '/var/lib/kubelet/'],
  ['containerd', '/var/lib/containerd/'],
  ['containerd', '/run/containerd/'],
  ['containerd', '/run/netns/cni-'],
  ['network', '/run/netns/cni-'],
  ['network', '/run/calico/'],
  ['network', '/sys/fs/bpf'],
];

export const unmount = async ({ gate, before, shared, undone }: CleanupScope): Promise<void> => {
  const points = mountTable()
    .map(({ point }) => point)
    .reverse();
  for (const point of points) {
    if (!mountPlaces.some(([step, place]) => undone.includes(step) && point.startsWith(place))) continue;
    if (wasThere(before, 'mount', point)) continue;
    if (shared && point.startsWith('/run/containerd/') && !/\/k8s\.io\/|\.grpc\.v1\.cri\//.test(point)) continue;
    await gate.apply('unmounted', point, async () => {
      const { code, stderr } = await tryRun('umount', [point]);
      const isLeft = code !== 0 && isMountPoint(point);
      if (isLeft) throw new Error(`${stderr.trim()}${processesUsing(point)}`);
    });
  }
};

export const removeNamespaces = async ({ gate, before }: CleanupScope): Promise<void> => {
  for (const name of await readdir('/run/netns').catch(() => [])) {
    if (!name.startsWith('cni-') || wasThere(before, 'network namespace', name)) continue;
    await gate.apply('network namespaces removed', name, () => rm(`/run/netns/${name}`));
  }
};

interface Link {
  readonly ifname: string;
  readonly master?: string;
}

/** Links of the bridge plugin, Calico and kube-proxy; a veth is ours when it hangs on our bridge. */
const isOurLink = ({ ifname, master }: Link): boolean =>
  /^(cni0|cali[0-9a-f]{11}|vxlan\.calico|vxlan-v6\.calico|wireguard\.cali|bpf(in|out)\.cali|kube-ipvs0)$/.test(
    ifname,
  ) ||
  (/^veth/.test(ifname) && master === 'cni0');

export const removeLinks = async ({ gate, before }: CleanupScope): Promise<void> => {
  const links = await ipJson<Link>('link', 'show');
  const ours = links.filter((link) => isOurLink(link) && !wasThere(before, 'link', link.ifname));
  // The bridge last: it would only let its veths go.
  for (const { ifname } of ours.sort((a, b) => Number(a.ifname === 'cni0') - Number(b.ifname === 'cni0'))) {
    await gate.apply('links removed', ifname, async () => {
      const { code, stderr } = await tryRun('ip', ['link', 'delete', ifname]);
      // Its other end may just have gone with its namespace, and it with that.
      if (code !== 0 && !/Cannot find device/.test(stderr)) throw new Error(stderr.trim());
    });
  }
};

/** Calico throws away what is sent to an address of its pool that no Pod has; it marks its routes as protocol 80. */
export const removeRoutes = async ({ gate, before }: CleanupScope): Promise<void> => {
  const former = before?.sections['route'] ?? {};
  for (const family of ['-4', '-6']) {
    const routes = await ipJson<{ type?: string; dst: string }>(family, 'route', 'show', 'proto', '80');
    for (const { type = 'unicast', dst } of routes) {
      if (hasRoute(former, type, dst)) continue;
      await gate.apply('routes removed', `${type} ${dst}`, () =>
        run('ip', [family, 'route', 'delete', type, dst, 'proto', '80']),
      );
    }
  }
};
