import { describe, expect, test } from 'vitest';
import { changeOf, type Lab, warningsOf } from '../../lib/engine/lab.ts';
import { setsOther } from '../../lib/host/sysctl.ts';
import { conflist } from '../../steps/bridge.ts';
import { goodSurvey, plainLab } from '../fixtures.ts';

describe('a machine that changes under its lab', () => {
  test.each([
    ['swap that was turned on', { swap: true }, 'swap was off, is now on'],
    ['ufw that was turned on', { ufw: true }, 'ufw was off, is now on'],
    ['other cgroups', { cgroup: 'v1' }, 'cgroups were v2, are now v1'],
    [
      'other name servers in the same file',
      { resolvers: [{ path: '/etc/resolv.conf', servers: ['10.240.0.4', '10.240.0.5'] }] },
      'the name servers were 10.240.0.3, are now 10.240.0.4, 10.240.0.5',
    ],
    ['no name server any more', { resolvers: [] }, 'the name servers were 10.240.0.3, are now none'],
  ] as const)('is said, from what to what: %s', (_, now, words) => {
    expect(changeOf(plainLab, { ...goodSurvey, ...now })).toContain(words);
  });

  test('is not spoken of where nothing changed that the lab cannot take', () => {
    expect(changeOf(plainLab, goodSurvey)).toBeUndefined();
    const lab: Lab = { ...plainLab, machine: { ...plainLab.machine, swap: true, ufw: true } };
    expect(changeOf(lab, goodSurvey)).toBeUndefined();
  });

  test('is not spoken of where the lab is of a hardway that did not write the name servers down', () => {
    const { nameServers: _, ...machine } = plainLab.machine;
    const now = { ...goodSurvey, resolvers: [{ path: '/etc/resolv.conf', servers: ['10.240.0.4'] }] };
    expect(changeOf({ ...plainLab, machine }, now)).toBeUndefined();
  });
});

test('Pods on the bridge have the MTU of an interface that has another than Ethernet', () => {
  expect(conflist(plainLab, 1400).plugins[0]).toMatchObject({ mtu: 1400 });
  expect(conflist(plainLab, 1500).plugins[0]).not.toHaveProperty('mtu');
});

test.each([
  ['net.ipv4.ip_forward=0', true],
  [' -net/ipv4/ip_forward = 0 ', true],
  ['net.ipv4.ip_forward = 1', false],
  ['# net.ipv4.ip_forward = 0', false],
  ['net.ipv4.conf.all.forwarding=0', false],
])('a line of a sysctl file is against what the lab needs or is not: %s', (line, against) => {
  expect(setsOther(['', line], 'net.ipv4.ip_forward', '1')).toBe(against);
});

test('a lab is warned of networks that are somebody’s in the internet, in both languages', () => {
  expect(warningsOf(plainLab, 'en')).toEqual([]);
  const lab: Lab = { ...plainLab, podCIDR: '8.0.0.0/8', serviceCIDR: '9.9.9.0/24', pki: 'guide' };
  expect(warningsOf(lab, 'en').map((warning) => warning.split(' ').slice(0, 2).join(' '))).toEqual([
    'PKI guide:',
    'podCIDR 8.0.0.0/8',
    'serviceCIDR 9.9.9.0/24',
  ]);
  expect(warningsOf(lab, 'fr')).toHaveLength(3);
});
