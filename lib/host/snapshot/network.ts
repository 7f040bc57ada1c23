import { readdir } from 'node:fs/promises';
import { ipJson, sockets } from '../net.ts';
import { readSysctl } from '../sysctl.ts';
import { type Section, section } from './section.ts';

interface Address {
  readonly family: string;
  readonly local: string;
  readonly prefixlen: number;
  readonly temporary?: boolean;
}
interface Link {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly address?: string;
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info: readonly Address[];
}
interface Route {
  readonly type?: string;
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly table?: string;
  readonly protocol?: string;
  readonly metric?: number;
}
interface Rule {
  readonly priority: number;
  readonly src?: string;
  readonly dst?: string;
  readonly fwmark?: string;
  readonly table?: string;
  readonly action?: string;
}

const said = (...words: readonly (readonly [string, string | number | undefined] | string | undefined)[]): string =>
  words
    .flatMap((word) =>
      typeof word === 'object' ? (word[1] === undefined ? [] : `${word[0]} ${word[1]}`) : (word ?? []),
    )
    .join(' ');

/** Records links and their addresses, without the state of the cable and the rest of a lease. */
const linksAndAddresses = async (): Promise<{ links: Section; addresses: Section }> => {
  const all = await ipJson<Link>('-d', 'addr', 'show');
  return {
    links: section(
      all.map(({ ifname, flags, mtu, address, master, linkinfo }) => [
        ifname,
        said(linkinfo?.info_kind, ['mtu', mtu], address, ['master', master], flags.includes('UP') ? 'up' : 'down'),
      ]),
    ),
    addresses: section(
      all.flatMap(({ ifname, addr_info }) =>
        addr_info
          .filter(({ temporary }) => !temporary) // IPv6 privacy addresses come and go
          .map(({ local, prefixlen }): [string, string] => [`${local}/${prefixlen}`, `on ${ifname}`]),
      ),
    ),
  };
};

/** Returns the name under which a route is recorded, up to its gateway: a unicast route has only its destination. */
const routeKey = (type: string | undefined, dst: string): string =>
  type === undefined || type === 'unicast' ? dst : `${type} ${dst}`;

/** Tells whether a section has a route of this type to this destination, whatever its gateway. */
export const hasRoute = (routes: Section, type: string | undefined, dst: string): boolean =>
  Object.keys(routes).some((name) => `${name} `.startsWith(`${routeKey(type, dst)} `));

/**
 * Records routes, except those of the table `local`: the kernel makes them from the addresses, an IPv6 one a second
 * later.
 */
const routes = async (): Promise<Section> => {
  const families = await Promise.all(
    ['-4', '-6'].map((family) => ipJson<Route>(family, 'route', 'show', 'table', 'all')),
  );
  return section(
    families
      .flat()
      .filter(({ type, table, protocol }) => table !== 'local' && type !== 'multicast' && protocol !== 'redirect')
      .map(({ type, dst, gateway, dev, table, metric }) => [
        said(routeKey(type, dst), ['via', gateway], ['dev', dev], ['metric', metric]),
        `in table ${table ?? 'main'}`,
      ]),
  );
};

const rules = async (): Promise<Section> => {
  const families = await Promise.all(['-4', '-6'].map((family) => ipJson<Rule>(family, 'rule', 'show')));
  return section(
    families.flatMap((all, index) =>
      all.map(({ priority, src, dst, fwmark, table, action }): [string, string] => [
        said(`IPv${index === 0 ? 4 : 6} ${priority}:`, ['from', src], ['to', dst], ['fwmark', fwmark]),
        table ?? action ?? '',
      ]),
    ),
  );
};

const netns = async (): Promise<Section> =>
  section((await readdir('/run/netns').catch(() => [])).map((name) => [name, 'is there']));

/** Records listening TCP and UDP ports with their programs. Skips the UDP ports that the kernel assigns to clients. */
const listeners = async (): Promise<Section> => {
  const [, firstHandedOut = 32768] = /^(\d+)/.exec(readSysctl('net.ipv4.ip_local_port_range') ?? '') ?? [];
  return section(
    (await sockets('all'))
      .filter(({ protocol, port }) => protocol !== 'udp' || port < Number(firstHandedOut))
      .map(({ protocol, address, port, process }) => [`${protocol} ${address}:${port}`, process || 'a program']),
  );
};

/** Records links, addresses, routes, rules, network namespaces and listening ports. */
export const network = async (): Promise<Record<string, Section>> => {
  const [both, routesFound, rulesFound, netnsFound, listenersFound] = await Promise.all([
    linksAndAddresses(),
    routes(),
    rules(),
    netns(),
    listeners(),
  ]);
  return {
    link: both.links,
    address: both.addresses,
    route: routesFound,
    'routing rule': rulesFound,
    'network namespace': netnsFound,
    listener: listenersFound,
  };
};
