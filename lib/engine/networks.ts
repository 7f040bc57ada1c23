import ipaddr from 'ipaddr.js';

/** Returns the address number `index` of a network: 1 is the first after the network's own. */
export const addressIn = (cidr: string, index: number): string => {
  const octets = ipaddr.IPv4.networkAddressFromCIDR(cidr).octets;
  const number = octets.reduce((sum, octet) => sum * 256 + octet, 0) + index;
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
};

/** Networks whose addresses nobody has in the internet (RFC 1918, RFC 6598, RFC 2544). */
const privateNetworks = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '198.18.0.0/15'];

/** Tells whether somebody in the internet may have an address of this network. */
export const isPublic = (cidr: string): boolean => {
  const [address, bits] = ipaddr.IPv4.parseCIDR(cidr);
  return !privateNetworks
    .map((one) => ipaddr.IPv4.parseCIDR(one))
    .some(([within, most]) => bits >= most && address.match(within, most));
};

/** Tells whether two IPv4 networks share an address. */
export const overlap = (one: string, other: string): boolean => {
  const [a, b] = [ipaddr.IPv4.parseCIDR(one), ipaddr.IPv4.parseCIDR(other)];
  return a[1] < b[1] ? b[0].match(a[0], a[1]) : a[0].match(b[0], b[1]);
};
