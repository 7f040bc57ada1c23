import { describe, expect, test } from 'vitest';
import { findings } from '../../bin/up/fitness.ts';
import type { Settings } from '../../lib/engine/settings.ts';
import type { Place } from '../../lib/host/facts/places.ts';
import type { HostFacts, Listener } from '../../lib/host/facts.ts';
import { everyStep } from '../../steps/index.ts';
import { defaultSettings, goodSurvey } from '../fixtures.ts';

const judge = (found: Partial<HostFacts>, settings: Partial<Settings> = {}, ours = false) =>
  findings({
    found: { ...goodSurvey, ...found },
    settings: { ...defaultSettings, ...settings },
    steps: everyStep,
    cni: 'bridge',
    ours,
  });

const listener = (port: number, ours = false): Listener => ({
  address: '0.0.0.0',
  port,
  pid: 4711,
  process: 'python3',
  ours,
});

const place = (path: string, facts: Partial<Place> = {}): Place => ({
  ...{ path, point: '/', type: 'ext4', readOnly: false, noexec: false, freeBytes: 20e9, freeInodes: 0.9 },
  ...facts,
});

const chain = (name: string, ...rules: string[]) =>
  ({ program: 'iptables-legacy', table: 'filter', name, policy: '-', rules }) as const;

const content = (path: string, ...files: string[]) => ({
  path,
  first: files.slice(0, 3),
  more: files.length > 3,
  entries: files,
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
    ['a full disk', { places: [place('/var/lib', { freeBytes: 4.99e9 })] }, {}, /^4\.9 GB free/, /disk/],
    [
      'a disk without room for our own files',
      { places: [place('/var/lib'), place('/var/lib/hardway', { point: '/var/lib/hardway', freeBytes: 64e6 })] },
      {},
      /^\S+ MB free below \/var\/lib\/hardway; 2 GB are needed/,
      /enlarge/,
    ],
    [
      'a disk of many small files',
      { places: [place('/var/lib/kubelet', { freeInodes: 0.01 })] },
      {},
      /^1\.0 % of the inodes/,
      /df -i \/var\/lib\/kubelet/,
    ],
    [
      'a place that is read-only',
      { places: ['/etc/systemd/system', '/etc'].map((path) => place(path, { point: '/etc', readOnly: true })) },
      {},
      /at \/etc is mounted read-only.*writes to \/etc\/systemd\/system, \/etc$/,
      /^mount -o remount,rw \/etc$/,
    ],
    [
      'a place from which nothing can be started',
      { places: ['/var/lib/hardway', '/run'].map((path) => place(path, { point: '/x', noexec: true })) },
      {},
      /at \/x is mounted noexec.* in \/var\/lib\/hardway$/,
      /^mount -o remount,exec \/x$/,
    ],
    [
      'a place that is immutable',
      { places: ['/etc/systemd/system', '/etc/crictl.yaml'].map((path) => place(path, { locked: '/etc' })) },
      {},
      /^\/etc may not be changed, not even by root/,
      /^chattr -i \/etc$/,
    ],
    [
      'a file system without containers',
      { places: [place('/var/lib/containerd', { type: 'overlay' })] },
      {},
      /\/var\/lib\/containerd is on a file system of type overlay/,
      /ext4/,
    ],
    [
      'a kernel without a controller',
      { missingControllers: ['memory'] },
      {},
      /no memory cgroup/,
      /cgroup_enable=memory/,
    ],
    [
      'a module that is forbidden',
      { forbiddenModules: [{ name: 'overlay', by: 'kernel.modules_disabled = 1' }] },
      {},
      /module overlay may not be loaded: kernel\.modules_disabled = 1/,
      /modprobe overlay/,
    ],
    ['a host name with a bad letter', { hostName: 'my_host' }, {}, /"my_host" cannot name a Node/, /hostnamectl/],
    ['a host name that ends badly', { hostName: 'lab-' }, {}, /"lab-"/, /hostnamectl/],
    ['a host name that is empty', { hostName: '' }, {}, /""/, /hostnamectl/],
    ['a host name that is too long', { hostName: 'a'.repeat(53) }, {}, /aaaa/, /hostnamectl/],
    ['a host name that does not resolve', { hostNameResolves: false }, {}, /Lab-1 does not resolve/, /\/etc\/hosts/],
    ['no default route', { node: undefined }, {}, /no IPv4 default route/, /hardway\.yaml/],
    ['a wrong interface', { node: undefined }, { interface: 'eth7' }, /interface eth7 is not up/, /hardway\.yaml/],
    ['a port in use', { listeners: [listener(6443)] }, {}, /^port 6443.*kube-apiserver.*python3 \(pid 4711\)/, /stop/],
    ['a person by the name of a component', { people: ['root', 'etcd'] }, {}, /^etcd is to run/, /^give that person/],
    ['a port of etcd', { listeners: [listener(2380)] }, {}, /^port 2380.*etcd/, /stop/],
    [
      'a port held by nobody that we can see',
      { listeners: [{ ...listener(10250), pid: 0, process: 'an unknown process' }] },
      {},
      /in use by an unknown process$/,
      /stop/,
    ],
    [
      'a unit of another Kubernetes',
      { unitFiles: ['/etc/systemd/system/k3s.service'] },
      {},
      /another Kubernetes.*the unit \/etc\/systemd\/system\/k3s\.service/,
      /^systemctl disable --now k3s\.service; rm \/etc\/systemd\/system\/k3s\.service; systemctl daemon-reload$/,
    ],
    [
      'a unit of a package',
      { unitFiles: ['/usr/local/lib/systemd/system/containerd.service'] },
      {},
      /etcd is here.*\/usr\/local\/lib\/systemd\/system\/containerd\.service/,
      /--now containerd\.service; dpkg -S \/usr\/local/,
    ],
    [
      'a file that changes one of our units',
      { unitFiles: ['/etc/systemd/system/kubelet.service.d/10-kubeadm.conf'] },
      {},
      /^\/etc\/systemd\/system\/kubelet\.service\.d\/10-kubeadm\.conf changes a component/,
      /^rm \/etc\/systemd\/system\/kubelet\.service\.d\/10-kubeadm\.conf && systemctl daemon-reload$/,
    ],
    [
      'data where a daemon of ours would keep its own',
      { contents: [content('/var/lib/containerd', '/var/lib/containerd/my backup.tar')] },
      {},
      /^data of others are in \/var\/lib\/containerd: \/var\/lib\/containerd\/my backup\.tar$/,
      /mv '\/var\/lib\/containerd\/my backup\.tar' \/root\/before\/var\/lib\/containerd\/$/,
    ],
    [
      'much data there',
      {
        contents: [
          content('/var/log/pods', '/var/log/pods/a', '/var/log/pods/b', '/var/log/pods/c', '/var/log/pods/d'),
        ],
      },
      {},
      /\/var\/log\/pods\/a, \/var\/log\/pods\/b, \/var\/log\/pods\/c, \.\.\.$/,
      /mv \/var\/log\/pods\/\* \/root\/before\/var\/log\/pods\/$/,
    ],
    [
      'the network of podman',
      { contents: [content('/etc/cni/net.d', '/etc/cni/net.d/87-podman-bridge.conflist')] },
      {},
      /^a network of other containers is set up in \/etc\/cni\/net\.d: .*87-podman-bridge\.conflist$/,
      /mv \/etc\/cni\/net\.d\/87-podman-bridge\.conflist/,
    ],
    [
      'a bridge of our name',
      { links: [{ name: 'cni0', addresses: ['10.244.0.1/24'] }] },
      {},
      /^the network interface cni0 \(10\.244\.0\.1\/24\)/,
      /^ip link delete cni0$/,
    ],
    [
      'chains of our names',
      { chains: ['KUBE-SERVICES', 'KUBE-FORWARD', 'DOCKER'].map((name) => chain(name)) },
      {},
      /in iptables-legacy: KUBE-SERVICES, KUBE-FORWARD$/,
      /^iptables-legacy-save \| grep -v -e KUBE- \| iptables-legacy-restore$/,
    ],
    [
      'rules that Calico left in chains of others',
      { chains: [chain('DOCKER-USER', '-A DOCKER-USER -m comment --comment "cali:wUHhoiAYhphO9Mso" -j ACCEPT')] },
      {},
      /in iptables-legacy: cali:wUHhoiAYhphO9Mso$/,
      /grep -v -e cali:wUHhoiAYhphO9Mso/,
    ],
    [
      'an nft table of our name',
      { nftTables: [{ family: 'ip6', name: 'kube-proxy' }] },
      {},
      /nft table ip6 kube-proxy/,
      /^nft delete table ip6 kube-proxy$/,
    ],
    [
      'sets of our names',
      { ipsets: ['KUBE-LOOP-BACK', 'cali40all-ipam-pools', 'mine'] },
      {},
      /KUBE-LOOP-BACK, cali40all-ipam-pools$/,
      /^for set in KUBE-LOOP-BACK cali40all-ipam-pools; do ipset destroy \$set; done$/,
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
      'a firewall that rejects what Pods send',
      {
        firewall: {
          own: 'iptables-nft',
          iptables: { 'iptables-nft': [{ table: 'filter', name: 'INPUT', policy: 'DROP', rules: [] }] },
          nft: [],
        },
      },
      {},
      /rejects what Pods send to the API server.*INPUT, policy DROP/,
      /iptables -I INPUT -s 10\.200\.0\.0\/16 -j ACCEPT/,
    ],
    [
      'Pods in a network that a route throws away',
      { networks: [{ type: 'blackhole', cidr: '10.200.0.0/16', protocol: 'static' }] },
      {},
      /podCIDR 10\.200\.0\.0\/16 overlaps 10\.200\.0\.0\/16 of a blackhole route/,
      /another podCIDR/,
    ],
  ])('%s', (_, found, settings, problem, hint) => {
    const all = judge(found, settings);
    expect(all).toHaveLength(1);
    expect(all[0]?.problem).toMatch(problem);
    expect(all[0]?.hint).toMatch(hint);
  });
});

test('what is at its limit is enough', () => {
  expect(
    judge({
      cpus: 2,
      memoryBytes: 1.7e9,
      places: [place('/var/lib', { freeBytes: 5e9, freeInodes: 0.02 })],
      hostName: 'a'.repeat(52),
    }),
  ).toEqual([]);
});

test('a host name with capitals and dots can name a Node', () => {
  expect(judge({ hostName: 'Lab-1.Example.org' })).toEqual([]);
});

test('everything that is wrong is found at once', () => {
  const all = judge({
    cpus: 1,
    places: [place('/var/lib', { freeBytes: 0 })],
    listeners: [listener(2379), listener(10259)],
  });
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

test('the cache may be read-only, as that of a classroom is', () => {
  expect(judge({ places: [place('/var/cache/hardway', { readOnly: true })] })).toEqual([]);
});

describe('where a lab of ours is already', () => {
  test('it goes on with the room that its disk has left', () => {
    expect(judge({ places: [place('/var/lib', { freeBytes: 1e8 })] }, {}, true)).toEqual([]);
  });

  test('its own traces, ports and networks are not foreign', () => {
    const traces: Partial<HostFacts> = {
      contents: [content('/var/lib/kubelet', '/var/lib/kubelet/pods')],
      links: [{ name: 'cni0', addresses: ['10.200.0.1/16'] }],
      chains: [chain('KUBE-SERVICES')],
      listeners: [listener(6443, true)],
      networks: [
        { interface: 'cni0', cidr: '10.200.0.1/16' },
        { interface: 'cali0123456789a', cidr: '10.200.0.5/32' },
        { interface: 'vxlan.calico', cidr: '10.200.0.0/32' },
        { type: 'blackhole', cidr: '10.200.7.0/26', protocol: '80' },
      ],
    };
    expect(judge(traces, {}, true)).toEqual([]);
    expect(judge({ ...traces, networks: [] }, {}, false)).toHaveLength(4);
    expect(judge({ networks: traces.networks ?? [] }, {}, false)).toHaveLength(1);
  });

  test('a stranger on one of its ports is found all the same', () => {
    expect(judge({ listeners: [listener(6443)] }, {}, true)).toHaveLength(1);
  });
});
