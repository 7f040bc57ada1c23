import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Ran } from '../../lib/host/run.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, listing, sh, up } from './lib.ts';

const name = 'e2e-refuse';
const settings = '/etc/hardway.yaml';
let vm: Vm;
let before: string;

beforeAll(async () => {
  vm = await freshVm(name);
  before = await listing(vm);
});
afterAll(() => dropVm(name));

/** `hardway up` where the script has changed what it sees: in namespaces of its own, so that the VM stays as it is. */
const upWhere = (script: string, ...namespaces: readonly string[]): Promise<Ran> =>
  execInVm(vm, ['unshare', ...namespaces, 'sh', '-euc', `${script}\nhardway up --cni bridge`]);

/** `hardway up` with these settings. */
const upWith = async (text: string): Promise<Ran> => {
  await execInVm(vm, ['tee', settings], { input: text });
  return up(vm).finally(() => sh(vm, `rm ${settings}`));
};

const mustBeUntouched = async (): Promise<void> => {
  expect(await listing(vm)).toBe(before);
  expect(await sh(vm, 'ls /run/hardway* 2>/dev/null || :')).toBe('');
};

/** Exit code 2, every word is said, a next command is named, and the machine is as it was. */
const mustRefuse = async (ran: Ran, ...words: readonly (string | RegExp)[]): Promise<void> => {
  for (const word of words) expect(ran.stderr).toMatch(word);
  expect(ran.stderr).toMatch(/next: |Type |Did you mean|Type as root/);
  expect(ran.stderr).not.toMatch(/\bbug\b|\n {4}at /);
  expect(ran).toMatchObject({ code: 2, stdout: '' });
  await mustBeUntouched();
};

describe('a machine that is not fit is left as it is', () => {
  test('for somebody who is not root', async () => {
    await mustRefuse(await execInVm(vm, ['runuser', '-u', 'nobody', '--', 'hardway', 'up']), 'needs root');
  });

  test('without systemd as process 1', async () => {
    await mustRefuse(await upWhere('', '--pid', '--fork', '--mount-proc'), 'not systemd', 'hardway vm up');
  });

  test('with one CPU', async () => {
    await mustRefuse(await execInVm(vm, ['taskset', '--cpu-list', '0', 'hardway', 'up']), '1 CPU; 2 are needed');
  });

  test('with little memory', async () => {
    const little = `sed 's/^MemTotal:.*/MemTotal: 1500000 kB/' /proc/meminfo >/tmp/meminfo; mount --bind /tmp/meminfo /proc/meminfo`;
    await mustRefuse(await upWhere(little, '--mount'), '1.5 GB of memory; 1.7 GB');
  });

  test('with a small disk', async () => {
    await mustRefuse(
      await upWhere('mount -t tmpfs -o size=1g none /var/lib', '--mount'),
      'GB free below /var/lib; 5 GB are needed',
    );
  });

  test.for([
    [6443, 'kube-apiserver', '0.0.0.0'],
    [10250, 'kubelet', '10.240.0.10'],
  ] as const)('with port %i in use, naming who holds it and who needs it', async ([port, component, address]) => {
    const listener = `require('node:net').createServer().listen(${port}, '${address}')`;
    const node = await sh(vm, `ls -d /var/cache/hardway/node/node_modules/node/bin/node`);
    await execInVm(vm, ['systemd-run', '--quiet', '--unit=squatter', node, '-e', listener]);
    try {
      await sh(vm, `until ss -Hltn 'sport = :${port}' | grep -q LISTEN; do sleep 0.05; done`);
      const pid = await sh(vm, 'systemctl show -p MainPID --value squatter');
      await mustRefuse(await up(vm), `port ${port}`, component, new RegExp(`node \\(pid ${pid}\\)`));
    } finally {
      await sh(vm, 'systemctl stop squatter');
    }
  });

  test.for(['kubelet', 'containerd', 'etcd', 'k3s'])('with a unit %s of somebody else', async (unit) => {
    const path = `/run/systemd/system/${unit}.service`;
    await sh(vm, `mkdir -p /run/systemd/system; printf '[Service]\\nExecStart=/usr/bin/${unit}\\n' >${path}`);
    await mustRefuse(await up(vm).finally(() => sh(vm, `rm ${path}`)), path, 'hardway vm up');
  });

  test('with a folder of another Kubernetes', async () => {
    const kubeadm =
      'mkdir /tmp/etc; cp -a /etc/. /tmp/etc; mkdir -p /tmp/etc/kubernetes/pki; mount --bind /tmp/etc /etc';
    const ran = await upWhere(kubeadm, '--mount').finally(() => sh(vm, 'rm -rf /tmp/etc'));
    await mustRefuse(ran, '/etc/kubernetes');
  });

  test('with a host name that no Node can have', async () => {
    // hostname(1) refuses it; the kernel, which cloud tools tell it, does not.
    const ran = await upWhere('echo under_score >/proc/sys/kernel/hostname', '--uts');
    await mustRefuse(ran, '"under_score"', 'hostnamectl set-hostname');
  });

  test('with a host name that does not resolve', async () => {
    await mustRefuse(await upWhere('hostname nowhere', '--uts'), 'nowhere does not resolve', '/etc/hosts');
  });

  test('without a default route', async () => {
    await mustRefuse(await upWhere('', '--net'), 'default route', 'ip route add default');
  });

  test('shows everything that is wrong at once', async () => {
    const ran = await upWhere(
      'hostname nowhere; mount -t tmpfs -o size=1g none /var/lib; taskset --cpu-list --pid 0 $$ >/dev/null',
      '--uts',
      '--net',
      '--mount',
    );
    await mustRefuse(ran, '1 CPU', 'GB free', 'nowhere does not resolve', 'default route');
  });
});

describe('settings that are not right are refused', () => {
  test.for([
    ['no YAML', 'podCIDR: [', ['not YAML']],
    ['no fields', 'just words', ['hardway.yaml']],
    ['a field that there is not', 'podCidr: 10.1.0.0/16', ['podCidr', 'podCIDR']],
    ['no network', 'podCIDR: ten', ['podCIDR', '"ten"', '10.200.0.0/16']],
    ['a network with host bits', 'serviceCIDR: 10.32.0.1/24', ['serviceCIDR', '10.32.0.1/24']],
    ['a network that is too small', 'podCIDR: 10.1.1.0/28', ['podCIDR', '10.1.1.0/28']],
    ['a domain that is none', 'domain: "cluster local"', ['domain', 'cluster local']],
    ['a deadline that is none', 'deadline: soon', ['deadline', 'soon']],
    ['an interface that is not there', 'interface: eth7', ['eth7']],
    ['Pods in the network of Services', 'podCIDR: 10.32.0.0/16', ['podCIDR 10.32.0.0/16', 'serviceCIDR 10.32.0.0/24']],
    ['Services in the network of the node', 'serviceCIDR: 10.240.0.0/24', ['serviceCIDR 10.240.0.0/24', 'eth0']],
  ] as const)('%s', async ([, text, words]) => {
    await mustRefuse(await upWith(`${text}\n`), settings, ...words);
  });
});

describe('what there is not is refused, with the nearest that there is', () => {
  test.for([
    ['a command', ['upp'], 'Did you mean up?'],
    ['a flag', ['up', '--dryrun'], '--dry-run'],
    ['a step of up', ['up', '--to', 'kube-apisever'], 'did you mean kube-apiserver'],
    ['a step of check', ['check', 'etc'], 'did you mean etcd'],
    ['a component', ['logs', 'kubelt'], 'did you mean kubelet'],
    ['a network', ['up', '--cni', 'brige'], 'did you mean bridge'],
    ['a source', ['up', '--source', 'relase'], 'did you mean release'],
  ] as const)('%s', async ([, args, words]) => {
    await mustRefuse(await hardway(vm, args), words);
  });

  test.for([[['status']], [['check']], [['kubectl', '--', 'get', 'nodes']], [['shell']]] as const)(
    'a lab, for hardway %o',
    async ([args]) => {
      await mustRefuse(await hardway(vm, args), 'no lab on this machine', 'hardway up');
    },
  );
});
