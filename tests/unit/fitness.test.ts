import { describe, expect, test } from 'vitest';
import { findings } from '../../bin/up/fitness.ts';
import type { Settings } from '../../lib/engine/settings.ts';
import type { HostFacts, Listener } from '../../lib/host/facts.ts';
import { everyStep } from '../../steps/index.ts';
import { defaultSettings, goodSurvey } from '../fixtures.ts';

const judge = (found: Partial<HostFacts>, settings: Partial<Settings> = {}, ours = false) =>
  findings({
    found: { ...goodSurvey, ...found },
    settings: { ...defaultSettings, ...settings },
    steps: everyStep,
    ours,
  });

const listener = (port: number, ours = false): Listener => ({
  address: '0.0.0.0',
  port,
  pid: 4711,
  process: 'python3',
  ours,
});

test('nothing speaks against a good machine', () => {
  expect(judge({})).toEqual([]);
});

describe('each finding comes alone, names what was found and says what to do', () => {
  test.each<[string, Partial<HostFacts>, Partial<Settings>, RegExp, RegExp]>([
    ['another system', { platform: 'darwin' }, {}, /darwin, not Linux/, /Linux VM/],
    ['another processor', { arch: 'riscv64' }, {}, /riscv64/, /x86_64.*arm64/],
    ['somebody who is not root', { root: false }, {}, /not root/, /^sudo hardway up$/],
    ['another init', { init: 'bash' }, {}, /process 1 is bash, not systemd/, /hardway vm up/],
    ['an init that cannot be read', { init: '' }, {}, /process 1 is unknown/, /hardway vm up/],
    ['one CPU', { cpus: 1 }, {}, /^1 CPU; 2 are needed/, /CPU/],
    ['little memory', { memoryBytes: 1.69e9 }, {}, /^1\.6 GB of memory/, /memory/],
    ['a full disk', { diskBytes: 4.99e9 }, {}, /^4\.9 GB free/, /disk/],
    ['a host name with a bad letter', { hostName: 'my_host' }, {}, /"my_host" cannot name a Node/, /hostnamectl/],
    ['a host name that ends badly', { hostName: 'lab-' }, {}, /"lab-"/, /hostnamectl/],
    ['a host name that is empty', { hostName: '' }, {}, /""/, /hostnamectl/],
    ['a host name that is too long', { hostName: 'a'.repeat(53) }, {}, /aaaa/, /hostnamectl/],
    ['a host name that does not resolve', { hostNameResolves: false }, {}, /Lab-1 does not resolve/, /\/etc\/hosts/],
    ['no default route', { node: undefined }, {}, /no IPv4 default route/, /hardway\.yaml/],
    ['a wrong interface', { node: undefined }, { interface: 'eth7' }, /interface eth7 is not up/, /hardway\.yaml/],
    ['a port in use', { listeners: [listener(6443)] }, {}, /^port 6443.*kube-apiserver.*python3 \(pid 4711\)/, /stop/],
    ['a port of etcd', { listeners: [listener(2380)] }, {}, /^port 2380.*etcd/, /stop/],
    [
      'a port held by nobody that we can see',
      { listeners: [{ ...listener(10250), pid: 0, process: 'an unknown process' }] },
      {},
      /in use by an unknown process$/,
      /stop/,
    ],
    [
      'another Kubernetes',
      { foreign: ['the unit /etc/systemd/system/k3s.service', 'files in /etc/kubernetes'] },
      {},
      /k3s\.service, files in \/etc\/kubernetes/,
      /remove it first/,
    ],
    [
      'missing commands',
      { apt: false, missing: ['ip', 'ss', 'iptables'] },
      {},
      /ip, ss, iptables/,
      /iproute2, iptables$/,
    ],
    ['networks that overlap', {}, { serviceCIDR: '10.200.3.0/24' }, /podCIDR.*serviceCIDR/, /hardway\.yaml/],
    [
      'Pods in the network of the node',
      { networks: [{ interface: 'eth0', cidr: '10.200.1.7/24' }] },
      {},
      /podCIDR 10\.200\.0\.0\/16 overlaps 10\.200\.1\.7\/24 on eth0/,
      /another podCIDR/,
    ],
    [
      'Services in a network that a VPN leads to',
      { networks: [{ interface: 'wg0', cidr: '10.32.0.0/12' }] },
      {},
      /serviceCIDR 10\.32\.0\.0\/24 overlaps 10\.32\.0\.0\/12 on wg0/,
      /another serviceCIDR/,
    ],
    [
      'Pods in a network that a route throws away',
      { networks: [{ type: 'blackhole', cidr: '10.200.0.0/16', protocol: 'static' }] },
      {},
      /podCIDR 10\.200\.0\.0\/16 overlaps 10\.200\.0\.0\/16 of a blackhole route/,
      /another podCIDR/,
    ],
  ])('%s', (_, found, settings, problem, cure) => {
    const all = judge(found, settings);
    expect(all).toHaveLength(1);
    expect(all[0]?.problem).toMatch(problem);
    expect(all[0]?.hint).toMatch(cure);
  });
});

test('what is at its limit is enough', () => {
  expect(judge({ cpus: 2, memoryBytes: 1.7e9, diskBytes: 5e9, hostName: 'a'.repeat(52) })).toEqual([]);
});

test('a host name with capitals and dots can name a Node', () => {
  expect(judge({ hostName: 'Lab-1.Example.org' })).toEqual([]);
});

test('everything that is wrong is found at once', () => {
  const all = judge({ cpus: 1, diskBytes: 0, listeners: [listener(2379), listener(10259)] });
  expect(all.map(({ problem }) => problem.split(' ').slice(0, 2).join(' '))).toEqual([
    '1 CPU;',
    '0 MB',
    'port 2379,',
    'port 10259,',
  ]);
});

test('a port is taken only at the address where our daemon listens', () => {
  const at = (port: number, address: string) => judge({ listeners: [{ ...listener(port), address }] });
  for (const address of ['0.0.0.0', '*', '[::]', '127.0.0.1', '127.0.0.1%lo', '[::ffff:127.0.0.1]'])
    expect(at(2379, address)).toHaveLength(1);
  for (const address of ['127.0.0.2', '10.240.0.10', '172.17.0.1', '[::1]']) expect(at(2379, address)).toEqual([]);
  expect(at(10250, '10.240.0.10')).toHaveLength(1);
  expect(at(10250, '127.0.0.1')).toEqual([]);
  expect(at(6443, '127.0.0.2')).toHaveLength(1);
});

test('a port that one program holds on two addresses is one finding', () => {
  expect(judge({ listeners: [listener(6443), { ...listener(6443), address: '[::]' }] })).toHaveLength(1);
});

test('a network of the machine that is there as an address and as a route is one finding', () => {
  const cidrs = ['10.200.1.7/24', '10.200.1.0/24'];
  expect(judge({ networks: cidrs.map((cidr) => ({ interface: 'eth0', cidr })) })).toHaveLength(1);
});

test('commands that apt can bring are no finding', () => {
  expect(judge({ missing: ['iptables'], apt: true })).toEqual([]);
});

describe('where a lab of ours is already', () => {
  test('its own traces, ports and networks are not foreign', () => {
    const traces: Partial<HostFacts> = {
      foreign: ['files in /var/lib/kubelet'],
      listeners: [listener(6443, true)],
      networks: [
        { interface: 'cni0', cidr: '10.200.0.1/16' },
        { interface: 'cali0123456789a', cidr: '10.200.0.5/32' },
        { interface: 'vxlan.calico', cidr: '10.200.0.0/32' },
        { type: 'blackhole', cidr: '10.200.7.0/26', protocol: '80' },
      ],
    };
    expect(judge(traces, {}, true)).toEqual([]);
    expect(judge({ ...traces, networks: [] }, {}, false)).toHaveLength(2);
  });

  test('a stranger on one of its ports is found all the same', () => {
    expect(judge({ listeners: [listener(6443)] }, {}, true)).toHaveLength(1);
  });
});
