import { readIfThere } from '../../../lib/host/files.ts';
import { tryRun } from '../../../lib/host/run.ts';
import type { HostSnapshot } from '../../../lib/host/snapshot.ts';
import { readSysctl, writeSysctl } from '../../../lib/host/sysctl.ts';
import type { CleanupScope } from './scope.ts';

/** Sets kernel parameters back that the daemons changed; forwarding first, as it changes others with it. */
export const restoreParameters = async ({ gate, before }: CleanupScope): Promise<void> => {
  const former = Object.entries(before?.sections['kernel parameter'] ?? {});
  const first = former.filter(([name]) => /ip_forward$|\.forwarding$/.test(name));
  for (const [name, value] of [...first, ...former.filter((entry) => !first.includes(entry))]) {
    const now = readSysctl(name);
    if (now === undefined || now === value) continue;
    await gate.apply('settings back', `sysctl -w ${name}=${value}`, async () => writeSysctl(name, value));
  }
};

/** Kernel modules that containers, their networks and rules bring; others that came since are somebody else's. */
const ourModules =
  /^(overlay|veth|bridge|br_netfilter|stp|llc|vxlan|ip6?_udp_tunnel|udp_tunnel|ipip|tunnel4|ip_tunnel|dummy|nf_|nft_|nfnetlink|xt_|x_tables|ip6?t_|ip_set|ip6?_tables|ip_vs|nfnetlink_acct)/;

/** Unloads modules that were not loaded before, as long as one of them is unused: each may set others free. */
export const unloadModules = async (before: HostSnapshot | undefined): Promise<void> => {
  const loaded = before?.sections['kernel module'];
  if (!loaded || Object.keys(loaded).length === 0) return; // a container's kernel is not its own
  const stubborn = new Set<string>();
  for (;;) {
    const lines = ((await readIfThere('/proc/modules')) ?? '').split('\n').map((line) => line.split(' '));
    const unused = lines.find(
      ([name = '', , uses]) => uses === '0' && !(name in loaded) && ourModules.test(name) && !stubborn.has(name),
    )?.[0];
    if (!unused) return;
    stubborn.add(unused);
    await tryRun('rmmod', [unused]);
  }
};
