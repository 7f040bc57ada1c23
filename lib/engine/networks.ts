import ipaddr from 'ipaddr.js';

/** Returns the address number `index` of a network: 1 is the first after the network's own. */
export const addressIn = (cidr: string, index: number): string => {
  const octets = ipaddr.IPv4.networkAddressFromCIDR(cidr).octets;
  const number = octets.reduce((sum, octet) => sum * 256 + octet, 0) + index;
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
};

/** Tells whether two IPv4 networks share an address. */
export const overlap = (one: string, other: string): boolean => {
  const [a, b] = [ipaddr.IPv4.parseCIDR(one), ipaddr.IPv4.parseCIDR(other)];
  return a[1] < b[1] ? b[0].match(a[0], a[1]) : a[0].match(b[0], b[1]);
};
