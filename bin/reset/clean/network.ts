import { readdir, rm, rmdir } from 'node:fs/promises';
import { matches } from '../../../lib/engine/leaves.ts';
import { isMountPoint } from '../../../lib/host/mounts.ts';
import { ipJson } from '../../../lib/host/net.ts';
import { run, tryRun } from '../../../lib/host/run.ts';
import { bootId } from '../../../lib/host/snapshot/identity.ts';
import { hasRoute } from '../../../lib/host/snapshot/network.ts';
import { isTheOne, type Reset, wasThere } from './scope.ts';

/** Folder in which ip-netns(8) and the CNI keep network namespaces by name. */
export const netnsFolder = '/run/netns';

/** Removes the network namespaces of Pods, then their folder, which is a mount of itself once one was made. */
export const removeNamespaces = async ({ undoer, before, plan }: Reset): Promise<void> => {
  if (plan.leaves.netns.length === 0) return;
  const names = await readdir(netnsFolder).catch(() => undefined);
  const ours = (names ?? []).filter(
    (name) => matches(plan.leaves.netns, name) && !wasThere(before, 'network namespace', name),
  );
  for (const name of ours) await undoer.apply(name, () => rm(`${netnsFolder}/${name}`));
  if (names?.length !== ours.length || wasThere(before, 'file', netnsFolder)) return;
  await undoer.apply(netnsFolder, async () => {
    if (isMountPoint(netnsFolder)) await run('umount', [netnsFolder]);
    await rmdir(netnsFolder);
  });
};

interface Link {
  readonly ifindex: number;
  readonly ifname: string;
  readonly master?: string;
}

/** Removes network interfaces. A bridge comes after its veths: they would survive it. */
export const removeLinks = async ({ undoer, before, plan }: Reset): Promise<void> => {
  const { links, bridges } = plan.leaves;
  const isOurs = ({ ifname, master = '' }: Link): boolean =>
    matches(links, ifname) || bridges.includes(ifname) || (ifname.startsWith('veth') && bridges.includes(master));
  const boot = await bootId();
  const ours = (await ipJson<Link>('link', 'show')).filter(
    (link) => isOurs(link) && !isTheOne(before, boot, 'link', [link.ifname, link.ifindex]),
  );
  const isBridge = ({ ifname }: Link): number => Number(bridges.includes(ifname));
  const names = ours.sort((a, b) => isBridge(a) - isBridge(b)).map(({ ifname }) => ifname);
  // One command for all: each Pod has a link. With -force a link that has just ended with its namespace stops none.
  await undoer.applyAll(names, async () => {
    const input = names.map((name) => `link delete dev ${name}\n`).join('');
    const { stderr } = await tryRun('ip', ['-force', '-batch', '-'], { input });
    const left = new Set((await ipJson<Link>('link', 'show')).map(({ ifindex }) => ifindex));
    for (const { ifname } of ours.filter(({ ifindex }) => left.has(ifindex))) undoer.reportLeft(ifname, stderr.trim());
  });
};

/** Removes the routes that are marked with a daemon's own routing protocol. */
export const removeRoutes = async ({ undoer, before, plan }: Reset): Promise<void> => {
  const former = before?.sections['route'] ?? {};
  for (const [family, protocol] of ['-4', '-6'].flatMap((one) =>
    plan.leaves.routes.map((made) => [one, made] as const),
  )) {
    const routes = await ipJson<{ type?: string; dst: string }>(family, 'route', 'show', 'proto', String(protocol));
    for (const { type = 'unicast', dst } of routes) {
      if (hasRoute(former, type, dst)) continue;
      await undoer.apply(`${type} ${dst}`, () =>
        run('ip', [family, 'route', 'delete', type, dst, 'proto', String(protocol)]),
      );
    }
  }
};
