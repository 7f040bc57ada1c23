import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Ran } from '../../lib/host/run.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, listing, sh, succeeded } from './lib.ts';

const name = 'e2e-fitness';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
});
afterAll(() => dropVm(name));

/** The preflight of `hardway up`: a dry run passes through it as a real one does. */
const preflight = (): Promise<Ran> => hardway(vm, ['up', '--cni', 'bridge', '--to', 'preflight', '--dry-run']);

const mustBeFit = async (): Promise<void> => {
  const { code, stderr } = await preflight();
  expect(code, stderr).toBe(0);
};

/** Returns the command that is named for the finding with these words. */
const cureFor = ({ stderr }: Ran, problem: RegExp): string => {
  const lines = stderr.split('\n');
  const at = lines.findIndex((line) => problem.test(line));
  expect(at, stderr).toBeGreaterThan(0);
  return (lines[at + 1] ?? '').replace(/^ *-> (move them away, as with: )?/, '');
};

describe('what a daemon of ours would take for its own is refused, and the command that is named removes it', () => {
  test.for<[string, string, RegExp]>([
    [
      'chains of an older cluster',
      `for c in KUBE-SERVICES KUBE-FIREWALL; do iptables -N $c; done; iptables -I INPUT -j KUBE-FIREWALL
      iptables -t nat -N KUBE-SERVICES; iptables -t nat -A OUTPUT -j KUBE-SERVICES`,
      /chains of another Kubernetes are in iptables-nft: KUBE-/,
    ],
    [
      'chains that are only in the legacy tables',
      'iptables-legacy -t nat -N cali-PREROUTING; iptables-legacy -t nat -A PREROUTING -j cali-PREROUTING',
      /chains of another Kubernetes are in iptables-legacy: cali-PREROUTING/,
    ],
    ['chains of IPv6', 'ip6tables -N KUBE-NODEPORTS', /in ip6tables-nft: KUBE-NODEPORTS/],
    ['sets', 'ipset create KUBE-LOOP-BACK hash:ip', /ipsets of another Kubernetes are here: KUBE-LOOP-BACK/],
    [
      'a bridge with an address',
      'ip link add cni0 type bridge; ip addr add 10.244.0.1/24 dev cni0; ip link set cni0 up',
      /the network interface cni0 \(10\.244\.0\.1\/24\)/,
    ],
    [
      'an interface that is down',
      'ip link add kube-ipvs0 type veth peer name peer',
      /the network interface kube-ipvs0 of/,
    ],
    ['data on a disk of its own', 'echo mine >/var/lib/containerd/backup.tar', /\/var\/lib\/containerd\/backup\.tar/],
    [
      'logs of Pods',
      'mkdir -p /var/log/pods/a_b_c; echo x >/var/log/pods/a_b_c/0.log',
      /\/var\/log\/pods\/a_b_c\/0\.log/,
    ],
    ['addresses of Pods', 'mkdir -p /var/lib/cni; echo x >/var/lib/cni/note', /\/var\/lib\/cni\/note/],
    [
      'the network of podman',
      'mkdir -p /etc/cni/net.d; echo {} >/etc/cni/net.d/87-podman-bridge.conflist',
      /a network of other containers.*\/etc\/cni\/net\.d\/87-podman-bridge\.conflist/,
    ],
    [
      'a file that changes the unit of a component',
      'mkdir -p /etc/systemd/system/kubelet.service.d; echo "[Service]" >/etc/systemd/system/kubelet.service.d/10-kubeadm.conf',
      /\/kubelet\.service\.d\/10-kubeadm\.conf changes a component/,
    ],
    [
      'one in another folder, for all units whose names begin alike',
      'mkdir -p /run/systemd/system/kube-.service.d; echo "[Service]" >/run/systemd/system/kube-.service.d/x.conf',
      /\/run\/systemd\/system\/kube-\.service\.d\/x\.conf changes a component/,
    ],
  ])('%s', async ([, make, problem]) => {
    await sh(vm, make);
    const ran = await preflight();
    expect(ran.code, ran.stdout).toBe(2);
    await sh(vm, cureFor(ran, problem));
    await mustBeFit();
  });

  test('containerd, wherever its unit lies', async () => {
    const unit = '/usr/local/lib/systemd/system/containerd.service';
    await sh(
      vm,
      `mkdir -p ${unit.replace(/[^/]*$/, '')}; printf '[Service]\\nExecStart=/usr/bin/containerd\\n' >${unit}`,
    );
    const ran = await preflight();
    expect(cureFor(ran, new RegExp(`the unit ${unit}`))).toContain('systemctl disable --now containerd.service');
    await sh(vm, `rm ${unit}`);
    await mustBeFit();
  });

  test('the Docker of a runner of GitHub, until .ci/prepare-runner has taken it away', async () => {
    // Docker's packages cannot be had here: one of our own with the same units, and the traces that it leaves.
    await sh(
      vm,
      `mkdir -p /tmp/docker/DEBIAN /tmp/docker/usr/lib/systemd/system
      printf 'Package: docker-ce\\nVersion: 1\\nArchitecture: all\\nMaintainer: test\\nDescription: test\\n' >/tmp/docker/DEBIAN/control
      for unit in docker containerd; do
        printf '[Service]\\nExecStart=sleep 1d\\n[Install]\\nWantedBy=multi-user.target\\n' >/tmp/docker/usr/lib/systemd/system/$unit.service
      done
      dpkg-deb --root-owner-group --build /tmp/docker /tmp/docker.deb && dpkg --install /tmp/docker.deb
      systemctl daemon-reload && systemctl enable --now docker.service containerd.service
      echo theirs >/var/lib/containerd/meta.db; ip link add docker0 type bridge; iptables -P FORWARD DROP
      mkdir -p /etc/cni/net.d; echo '{}' >/etc/cni/net.d/87-podman-bridge.conflist; chmod 777 /usr/local/bin`,
    );
    const { code, stderr } = await preflight();
    expect(code).toBe(2);
    for (const unit of ['docker', 'containerd']) expect(stderr).toContain(`systemd/system/${unit}.service`);
    expect(stderr).toContain('/var/lib/containerd/meta.db');
    expect(stderr).toContain('87-podman-bridge.conflist');
    await sh(vm, '/opt/hardway/.ci/prepare-runner');
    await mustBeFit();
    expect(
      await sh(vm, 'iptables -S FORWARD | head -n 1; stat -c %A /usr/local/bin; systemctl is-active docker || :'),
    ).toBe('-P FORWARD ACCEPT\ndrwxr-xr-x\ninactive');
    await sh(vm, 'rm -r /tmp/docker /tmp/docker.deb');
  });

  test('a new disk with lost+found is no data', async () => {
    await sh(vm, 'mkdir /var/lib/kubelet; mount -t tmpfs d /var/lib/kubelet; mkdir /var/lib/kubelet/lost+found');
    await mustBeFit();
    await sh(vm, 'umount /var/lib/kubelet; rmdir /var/lib/kubelet');
  });
});

describe('a fact that waiting cannot change is refused before the first change', () => {
  /** The preflight in namespaces of its own, where the script has changed what it sees. */
  const preflightWhere = (script: string): Promise<Ran> =>
    execInVm(vm, ['unshare', '--mount', 'sh', '-euc', `${script}\nhardway up --cni bridge --to preflight --dry-run`]);
  const readOnly = (path: string): string => `mount --bind ${path} ${path}; mount -o remount,bind,ro ${path}`;

  test.for<[string, string, RegExp]>([
    ['no folder for units', readOnly('/etc/systemd/system'), /at \/etc\/systemd\/system is mounted read-only/],
    ['no folder for programs', readOnly('/usr/local'), /at \/usr\/local is mounted read-only, .* \/usr\/local\/bin/],
    [
      'a folder that is immutable',
      "mkdir -p /usr/local/bin; chattr +i /usr/local/bin; trap 'chattr -i /usr/local/bin' EXIT",
      /\/usr\/local\/bin may not be changed, not even by root[\s\S]*chattr -i \/usr\/local\/bin/,
    ],
    [
      'a file of ours that is immutable',
      "echo theirs >/etc/crictl.yaml; chattr +i /etc/crictl.yaml; trap 'chattr -i /etc/crictl.yaml; rm /etc/crictl.yaml' EXIT",
      /\/etc\/crictl\.yaml may not be changed/,
    ],
    [
      'programs that cannot be started',
      'mkdir -p /opt/cni; mount -t tmpfs -o noexec none /opt/cni',
      /at \/opt\/cni is mounted noexec, .* \/opt\/cni\/bin/,
    ],
    ['no file system for containers', 'umount /var/lib/containerd', /\/var\/lib\/containerd is on .* type overlay/],
    [
      'no room for our own files',
      'mkdir -p /var/lib/hardway; mount -t tmpfs -o size=64m,mode=700 none /var/lib/hardway',
      /free below \/var\/lib\/hardway; 2 GB are needed/,
    ],
  ])('%s', async ([, make, problem]) => {
    const ran = await preflightWhere(make);
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringMatching(problem) });
  });

  test('no controller for memory, by what the kernel says of its own version of cgroups', async () => {
    const v1 = await sh(vm, 'test -e /sys/fs/cgroup/cgroup.controllers && echo no || echo yes');
    const list = v1 === 'yes' ? '/proc/cgroups' : '/sys/fs/cgroup/cgroup.controllers';
    const ran = await preflightWhere(`sed 's/\\bmemory\\b/other/' ${list} >/run/list; mount --bind /run/list ${list}`);
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('the kernel has no memory cgroup') });
  });

  test('a version 2 with every controller is fit, whatever /proc/cgroups leaves out', async () => {
    const v2 = `mount -t tmpfs none /sys/fs/cgroup; echo cpuset cpu io memory pids >/sys/fs/cgroup/cgroup.controllers
      grep -v memory /proc/cgroups >/run/list; mount --bind /run/list /proc/cgroups`;
    const ran = await preflightWhere(v2);
    expect(ran.code, ran.stderr).toBe(0);
  });

  afterAll(() => sh(vm, 'rm -rf /var/lib/hardway /opt/cni /run/list'));
});

describe('what is in nobody’s way is not refused', () => {
  test.for<[string, string, string]>([
    [
      'a default route with two next hops',
      'ip route del default; ip route add default nexthop via 10.240.0.1 dev eth0 nexthop via 10.240.0.2 dev eth0',
      'ip route del default; ip route add default via 10.240.0.1',
    ],
    [
      'a VPN that takes the whole internet',
      `ip link add tun0 type veth peer name p; ip addr add 10.8.0.6/24 dev tun0; ip link set tun0 up; ip link set p up
      ip route add 0.0.0.0/1 via 10.8.0.1; ip route add 128.0.0.0/1 via 10.8.0.1`,
      'ip link del tun0',
    ],
    [
      'a port at another address than that of our daemon',
      `systemd-run --quiet --unit=squatter /var/cache/hardway/node/node_modules/node/bin/node -e "require('node:net').createServer().listen(10250, '127.0.0.2')"
      until ss -Hltn 'sport = :10250' | grep -q LISTEN; do sleep 0.05; done`,
      'systemctl stop squatter',
    ],
  ])('%s', async ([, make, undo]) => {
    await sh(vm, make);
    await mustBeFit().finally(() => sh(vm, undo));
  });
});

describe('settings that root must not follow are refused', () => {
  const settings = '/etc/hardway.yaml';
  test.for<[string, string, RegExp]>([
    ['a FIFO', `mkfifo ${settings}`, /is a FIFO, not a file/],
    ['a folder', `mkdir ${settings}`, /is a folder/],
    ['a link to itself', `ln -s ${settings} ${settings}`, /leads to itself/],
    ['a link to nothing', `ln -s /nowhere ${settings}`, /leads to nothing/],
    ['a file of gigabytes', `truncate -s 3G ${settings}`, /more than 1 MB/],
    [
      'a file of somebody else',
      `echo deadline: 9 >${settings}; chown nobody ${settings}`,
      /others than root may change/,
    ],
    [
      'a file that all may write',
      `echo deadline: 9 >${settings}; chmod 666 ${settings}`,
      /others than root may change/,
    ],
    ['an alias to nothing', `echo 'deadline: *x' >${settings}`, /is not YAML/],
  ])('%s', async ([, make, words]) => {
    await sh(vm, make);
    const ran = await preflight().finally(() => sh(vm, `rm -r ${settings}`));
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringMatching(words) });
  });
});

describe('hardway doctor', () => {
  /** The disk of this machine is shared by many: memory is quick enough for etcd. */
  const quickDisk = 'mkdir -p /var/lib/hardway; mount -t tmpfs -o size=3g,mode=700 none /var/lib/hardway';
  const doctorWhere = (script: string, ...args: readonly string[]): Promise<Ran> =>
    execInVm(vm, ['unshare', '--mount', 'sh', '-euc', `${script}\nexec hardway doctor "$@"`, 'sh', ...args]);
  const instead = (
    path: string,
    text: string,
  ): string => `echo '${text}' >/run/x; cp /run/x /run/x${path.replaceAll('/', '_')}
    mount --bind /run/x${path.replaceAll('/', '_')} ${path}`;
  afterAll(() => sh(vm, 'rm -rf /var/lib/hardway /run/x*'));

  test('finds nothing wrong with a fit machine, which has neither a lab nor a network to the outside', async () => {
    const ran = await doctorWhere(quickDisk);
    expect(ran, ran.stdout).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/nothing is wrong$/) });
    const json = await doctorWhere(quickDisk, '--json');
    expect(JSON.parse(json.stdout)).toEqual({ event: 'done', ok: true, seconds: expect.any(Number) });
  });

  test('names each of many faults with its cause and a command, and ends with 1', async () => {
    const faults = [
      quickDisk,
      instead('/etc/resolv.conf', 'nameserver 127.0.0.9'),
      instead('/proc/sys/fs/inotify/max_user_instances', '3'),
      instead('/proc/sys/net/netfilter/nf_conntrack_max', '100'),
      instead('/proc/sys/net/netfilter/nf_conntrack_count', '99'),
      'export HARDWAY_MIRROR=https://127.0.0.1:9/x',
    ];
    await sh(vm, 'ip link set eth0 mtu 1200; iptables -I INPUT -p tcp --dport 6443 -j REJECT');
    const ran = await doctorWhere(faults.join('\n'), '--json').finally(() =>
      sh(vm, 'ip link set eth0 mtu 1500; iptables -D INPUT -p tcp --dport 6443 -j REJECT'),
    );
    const lines: { look?: string; problem?: string }[] = ran.stdout.split('\n').map((line) => JSON.parse(line));
    const found = lines.filter(({ problem }) => problem !== undefined);
    for (const finding of found)
      expect(finding).toMatchObject({ cause: expect.stringMatching(/./), hint: expect.stringMatching(/./) });
    const problems = found.map(({ look, problem }) => `${look}: ${problem}`).join('\n');
    for (const words of [
      /machine: the firewall rejects what Pods send to the API server/,
      /names: the name server 127\.0\.0\.9 does not answer/,
      /mtu: the MTU of eth0 is 1200 bytes/,
      /inotify: root may have 3 inotify instances/,
      /conntrack: the kernel tracks 99 connections of at most 100/,
      /sources: HARDWAY_MIRROR does not have https:\/\/127\.0\.0\.1:9\/x/,
    ])
      expect(problems).toMatch(words);
    expect(ran.code).toBe(1);
    expect(lines.at(-1)).toMatchObject({ event: 'done', ok: false });
  });

  test('changes nothing, and writes only the report that is asked for', async () => {
    const before = await listing(vm);
    const { stdout } = await hardway(vm, ['doctor', '--report', '/run/x-report.tar.gz']);
    expect(stdout).toMatch(/^disk /m);
    expect(await listing(vm)).toBe(before);
    expect(await sh(vm, 'tar -tzf /run/x-report.tar.gz')).toContain('hardway-report/findings.txt');
  });

  test('says without root what it could not look at', async () => {
    const ran = await execInVm(vm, ['su', '-s', '/bin/sh', 'nobody', '-c', 'HOME=/tmp hardway doctor']);
    expect(ran.stdout).toMatch(/^disk +\?\?\n {2}could not be looked at: .*sudo$/m);
    expect(ran.stdout).toMatch(/^mtu +fine/m);
    expect(ran.code).toBe(1);
  });
});

test('a folder of programs that has none is refused before anything is changed', async () => {
  for (const words of [
    ['--source', 'dir'],
    ['--source', 'dir', '--from', '/nowhere'],
  ]) {
    const ran = await hardway(vm, ['up', '--cni', 'bridge', ...words]);
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringMatching(/folder/) });
  }
  const { code } = await execInVm(vm, ['test', '-e', '/var/lib/hardway']);
  expect(code).toBe(1);
});

describe('what apt brings for a lab', () => {
  /** A repository in a folder: an iptables with a library and a file of settings, and a firewall that rests on it. */
  const repository = `
    dpkg --purge --force-depends iptables 2>/dev/null; rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
    mkdir -p /srv/repository; cd /srv/repository
    build() {
      mkdir -p "$1/DEBIAN" "$1/usr/sbin" "$1/etc"; echo first >"$1/etc/$1.conf"; echo "/etc/$1.conf" >"$1/DEBIAN/conffiles"
      printf '#!/bin/sh\\n' >"$1/usr/sbin/$1"; chmod 755 "$1/usr/sbin/$1"
      printf 'Package: %s\\nVersion: 9\\nArchitecture: all\\nMaintainer: a <a@b.c>\\nDescription: x\\n%s' "$1" "$2" >"$1/DEBIAN/control"
      dpkg-deb --build "$1" >/dev/null
      { dpkg-deb --field "$1.deb"; echo "Filename: ./$1.deb"; echo "Size: $(stat -c %s "$1.deb")"
        echo "SHA256: $(sha256sum "$1.deb" | cut -d' ' -f1)"; echo; } >>Packages
    }
    build libwall ''; build iptables 'Depends: libwall
'; build mywall 'Depends: iptables
'
    echo 'deb [trusted=yes] file:/srv/repository ./' >/etc/apt/sources.list; apt-get update >/dev/null`;
  const packages = (): Promise<string> =>
    sh(vm, 'dpkg -l libwall iptables mywall 2>/dev/null | sed -n "s/^ii *\\([a-z]*\\) .*/\\1/p"');
  const toPreflight = () => hardway(vm, ['up', '--cni', 'bridge', '--to', 'preflight']);
  const reset = () => hardway(vm, ['reset', '--yes']);

  test('goes with a reset, and what it came with too', async () => {
    await sh(vm, repository);
    succeeded(await toPreflight());
    expect(await packages()).toBe('iptables\nlibwall');
    expect(succeeded(await reset()).stdout).toContain('the host is as it was before');
    expect(await packages()).toBe('');
  });

  test.for([
    ['another package rests on it', 'apt-get install -y mywall', /: mywall rests on it/, 'apt-get purge -y mywall'],
    [
      'its settings were changed',
      'echo mine >/etc/iptables.conf',
      /: \/etc\/iptables\.conf was changed/,
      'echo first >/etc/iptables.conf',
    ],
  ] as const)('stays while %s, and goes at the next reset after that', async ([, make, reason, end]) => {
    succeeded(await toPreflight());
    await sh(vm, `DEBIAN_FRONTEND=noninteractive ${make}`);
    const first = await reset();
    expect(first).toMatchObject({ code: 1, stdout: expect.stringMatching(reason) });
    expect(first.stderr).toMatch(/iptables.* stays: others need it/);
    expect(await packages()).toContain('iptables\nlibwall');
    await sh(vm, end);
    succeeded(await reset());
    expect(await packages()).toBe('');
  });
});
