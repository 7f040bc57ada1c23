import { ipJson } from '../net.ts';

/** An IPv4 network that this machine has an address in or a route to. */
export interface HostNetwork {
  readonly cidr: string;
  /** Absent for a route that leads nowhere. */
  readonly interface?: string;
  /** The kind of a route that leads nowhere: blackhole, unreachable, prohibit. */
  readonly type?: string;
  /** Routing protocol that made a route: rtnetlink's number, or the name that iproute2 has for it. */
  readonly protocol?: string;
}

/** Addresses and networks of a machine. */
export interface Network {
  /** Interface and address of the default route. */
  readonly node: { readonly interface: string; readonly address: string } | undefined;
  readonly networks: readonly HostNetwork[];
}

interface Route {
  readonly dst: string;
  /** Absent for a route that leads nowhere, and for one with several next hops. */
  readonly dev?: string;
  readonly nexthops?: readonly { readonly dev?: string }[];
  readonly type?: string;
  readonly protocol?: string;
  readonly prefsrc?: string;
  readonly metric?: number;
}
interface Link {
  readonly ifname: string;
  readonly addr_info?: readonly {
    readonly family: string;
    readonly local: string;
    readonly prefixlen: number;
    readonly scope: string;
  }[];
}

const deviceOf = ({ dev, nexthops = [] }: Route): string | undefined => dev ?? nexthops[0]?.dev;

const networkOf = (route: Route): HostNetwork => {
  const device = deviceOf(route);
  return {
    cidr: route.dst,
    ...(device && { interface: device }),
    ...(route.type && { type: route.type }),
    ...(route.protocol && { protocol: route.protocol }),
  };
};

/**
 * Parses the output of `ip -j addr` and `ip -j route`. The node's address is that of the default route with the lowest
 * metric, as kubelet and Calico choose it.
 */
export const networkIn = (links: readonly Link[], routes: readonly Route[], wanted: string | undefined): Network => {
  const addresses = links.flatMap(({ ifname, addr_info = [] }) =>
    addr_info.filter(({ scope }) => scope !== 'host').map((one) => ({ interface: ifname, ...one })),
  );
  const defaults = routes
    .filter((route) => route.dst === 'default' && deviceOf(route))
    .sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0));
  const device = wanted ?? (defaults[0] && deviceOf(defaults[0]));
  const source = defaults.find((route) => deviceOf(route) === device)?.prefsrc;
  const address = source ?? addresses.find((one) => one.interface === device && one.scope === 'global')?.local;
  return {
    node: device && address ? { interface: device, address } : undefined,
    networks: [
      ...addresses.map(({ interface: name, local, prefixlen }) => ({ interface: name, cidr: `${local}/${prefixlen}` })),
      ...routes.filter(isNetwork).map(networkOf),
    ],
  };
};

/**
 * Tells whether a route stands for a network and not for the whole internet: VPNs put 0.0.0.0/1 and 128.0.0.0/1, or
 * smaller parts, in front of the default route.
 */
const isNetwork = ({ dst }: Route): boolean => Number(dst.split('/')[1] ?? 0) >= 8;

/** Reads addresses and routes; `wanted` names the interface of the Node instead of the default route's. */
export const network = async (wanted: string | undefined): Promise<Network> => {
  const [links, routes] = await Promise.all([
    ipJson<Link>('-4', 'addr', 'show', 'up'),
    ipJson<Route>('-4', 'route', 'show'),
  ]);
  return networkIn(links, routes, wanted);
};

/** Returns the interface and address of the Node as they are now; undefined where there is none. */
export const nodeNow = async (wanted: string | undefined): Promise<Network['node']> => (await network(wanted)).node;
