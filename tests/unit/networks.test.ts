import { expect, test } from 'vitest';
import { addressIn, isPublic, overlap } from '../../lib/engine/networks.ts';

test.each([
  ['10.32.0.0/24', 1, '10.32.0.1'],
  ['10.32.0.0/24', 10, '10.32.0.10'],
  ['10.32.0.240/28', 10, '10.32.0.250'],
  ['192.168.0.0/16', 300, '192.168.1.44'],
  ['240.0.0.0/8', 1, '240.0.0.1'],
])('of %s the address number %d is %s', (cidr, index, address) => {
  expect(addressIn(cidr, index)).toBe(address);
});

test.each([
  ['10.0.0.0/16', '10.0.0.0/24', true],
  ['10.0.0.0/16', '10.0.255.7/24', true],
  ['10.0.0.0/16', '10.1.0.0/16', false],
  ['10.240.0.10/24', '10.240.0.0/16', true],
  ['10.200.0.0/16', '10.200.0.0/16', true],
  ['0.0.0.0/0', '192.168.1.1/32', true],
  ['10.1.2.3/32', '10.1.2.4/32', false],
])('%s and %s share an address: %s', (one, other, shared) => {
  expect(overlap(one, other)).toBe(shared);
  expect(overlap(other, one)).toBe(shared);
});

test.each([
  ['10.200.0.0/16', false],
  ['172.16.0.0/12', false],
  ['172.0.0.0/8', true], // half of it is somebody's
  ['192.168.0.0/24', false],
  ['100.64.0.0/10', false],
  ['100.0.0.0/9', true],
  ['8.0.0.0/8', true],
])('%s has addresses of the internet: %s', (cidr, expected) => {
  expect(isPublic(cidr)).toBe(expected);
});
