import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Ran } from '../../lib/host/run.ts';
import { bootVm, deleteVm, execInVm, powerCut, type Vm } from '../../lib/vm/vm.ts';
import { components, runEvents, stepIds, story } from './events.ts';
import { dropVm, succeeded } from './lib.ts';
import { nothing, traces } from './traces.ts';
import { asPerson, scaleWeb, sudoHardway, ubuntuVm } from './ubuntu-vm.ts';

const name = 'e2e-ubuntu';
let vm: Vm;

beforeAll(async () => {
  vm = await ubuntuVm(name);
  await inside('echo kept >/root/kept; sync');
});
afterAll(() => dropVm(name));

const inside = async (script: string): Promise<string> => (await execInVm(vm, ['sh', '-c', script])).stdout;
const bootId = (): Promise<string> => asPerson(vm, 'cat /proc/sys/kernel/random/boot_id');
/** A file that a person wrote before all of it outlives reboots and power cuts. */
const isKept = async (): Promise<void> => expect(await inside('cat /root/kept')).toBe('kept');

/** Cuts the power, which leaves no process of the VM on this machine, and boots it again. */
const cutPower = async (): Promise<void> => {
  await powerCut(vm);
  // A command that was going on in the VM ends as soon as its connection does.
  await expect.poll(() => traces(name).processes, { timeout: 60_000 }).toEqual([]);
  await bootVm(vm);
  await isKept();
};

interface Row {
  readonly step: string;
  readonly healthy: boolean;
  readonly reason?: string;
  readonly since?: string;
}

const status = async (): Promise<readonly Row[]> => {
  const { stdout } = await sudoHardway(vm, ['status', '--json']);
  return stdout
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('{"step"')) // without the last line of a failure
    .map((line) => JSON.parse(line) as Row);
};

/** The steps that are not healthy, with the reason. */
const ailing = async (): Promise<readonly string[]> => {
  const rows = await status().catch(() => []);
  const bad = rows.filter(({ healthy }) => !healthy).map(({ step, reason }) => `${step}: ${reason}`);
  return rows.length === stepIds.length ? bad : ['the VM does not answer'];
};

/** From each Pod of `web` to the other, to the API server by its Service and by its name. */
const podsReachAll = async (): Promise<void> => {
  const pods = (
    await asPerson(
      vm,
      `kubectl get pods -l app=web -o 'jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\\n"}{end}'`,
    )
  )
    .split('\n')
    .map((line) => line.split(' '));
  expect(pods).toHaveLength(2);
  for (const [index, [pod]] of pods.entries()) {
    const other = pods[1 - index]?.[1];
    for (const target of [`${other}:8080`, 'kubernetes.default:443', '10.32.0.1:443']) {
      await asPerson(vm, `kubectl exec ${pod} -- /agnhost connect ${target} --timeout=30s`);
    }
  }
};

// In this order: each goes on from where the one before has left the VM, as a lab takes minutes on an emulated processor.
describe('a VM that is like an Ubuntu', () => {
  test('has a kernel and cgroup v2 of its own, a swap file, a firewall, a resolver stub and a person with sudo', async () => {
    expect(await inside('stat -f -c %T /sys/fs/cgroup')).toBe('cgroup2fs');
    expect(await inside('ip -4 -o address show eth0; ip route show default')).toMatch(
      /10\.240\.0\.10\/24[\s\S]*default/,
    );
    expect(await inside('readlink -f /etc/resolv.conf')).toBe('/run/systemd/resolve/stub-resolv.conf');
    expect(await inside('ufw status')).toContain('Status: active');
    expect(await inside('cat /sys/module/apparmor/parameters/enabled')).toBe('Y');
    await expect.poll(() => inside('swapon --noheadings --show=NAME'), { timeout: 60_000 }).toBe('/swapfile');
    expect((await execInVm(vm, ['sudo', '-n', 'id', '-u'], { user: 'learner' })).stdout).toBe('0');
    expect(await inside('lsmod')).not.toMatch(/br_netfilter|^overlay/m);
  });

  test('has the project, the cache and hardway', async () => {
    expect(await inside('touch /opt/hardway/x 2>&1')).toContain('Read-only');
    expect((await execInVm(vm, ['hardway', '--version'])).code).toBe(0);
  });

  test('passes exit codes and awkward words, with and without a terminal', async () => {
    expect((await execInVm(vm, ['sh', '-c', 'exit 7'])).code).toBe(7);
    const words = ['two words', "it's", '$HOME', '', '*'];
    expect((await execInVm(vm, ['printf', '%s|', ...words])).stdout).toBe(`${words.join('|')}|`);
    expect((await execInVm(vm, ['tty'], { tty: true })).stdout).toMatch(/^\/dev\/pts\/\d+/);
  });
});

describe('sudo hardway up on a machine like an Ubuntu', () => {
  let first: Ran;
  beforeAll(async () => {
    first = await sudoHardway(vm, ['up', '--cni', 'bridge', '--json']);
  });

  test('ends well from nothing, each step healthy in its turn', () => {
    expect(first.stderr).toBe('');
    expect(first.code).toBe(0);
    expect(story(runEvents(first.stdout))).toEqual(stepIds.flatMap((step) => [`${step} started`, `${step} healthy`]));
  });

  test('gives the person behind sudo a kubeconfig of their own, that nobody else can read', async () => {
    expect(await asPerson(vm, 'stat -c "%a %U:%G" ~/.kube/config')).toBe('600 learner:learner');
    expect(await asPerson(vm, 'kubectl get nodes --no-headers')).toMatch(/^kubernetes\s+Ready\s/);
  });

  test('adapts: systemd divides the cgroups, swap stays on, the kernel modules are there after every boot', async () => {
    expect(await asPerson(vm, 'sudo grep cgroupDriver /var/lib/hardway/config/kubelet.yaml')).toContain('systemd');
    expect(await asPerson(vm, 'ls -d /sys/fs/cgroup/kubepods.slice')).toBe('/sys/fs/cgroup/kubepods.slice');
    expect(await asPerson(vm, 'sudo swapon --noheadings --show=NAME')).toBe('/swapfile');
    expect(await asPerson(vm, 'cat /etc/modules-load.d/hardway.conf')).toContain('br_netfilter');
  });

  test('gives CoreDNS the name servers behind the stub of systemd-resolved, not the stub', async () => {
    expect(
      await asPerson(
        vm,
        'sudo grep -h nameserver $(sudo sed -n "s/^resolvConf: //p" /var/lib/hardway/config/kubelet.yaml)',
      ),
    ).toBe('nameserver 10.240.0.3');
  });

  test('lets Pods reach each other and the API server though ufw is on', async () => {
    expect(await asPerson(vm, 'sudo ufw status')).toContain('Status: active');
    await scaleWeb(vm, 2);
    await podsReachAll();
  });

  test('lets AppArmor confine the Pods', async () => {
    const pod = await asPerson(vm, 'kubectl get pods -l app=web -o name | head -n 1');
    const profile = `sudo cat /proc/$(pgrep -f -o '/agnhost netexec')/attr/current`;
    expect(pod).toContain('web');
    expect(await asPerson(vm, profile)).toContain('cri-containerd.apparmor.d');
  });

  test('finds everything healthy the second time', async () => {
    const second = await sudoHardway(vm, ['up', '--json']);
    succeeded(second);
    expect(second.stderr).toBe('');
    expect(story(runEvents(second.stdout))).toEqual(stepIds.map((step) => `${step} skipped`));
  });
});

describe('after a reboot', () => {
  const limit = { timeout: 15 * 60_000, interval: 3000 };

  test('the machine comes back by itself, with its files', async () => {
    const before = await bootId();
    await inside('systemctl reboot');
    await expect.poll(() => bootId().catch(() => before), limit).not.toBe(before);
    await isKept();
  });

  test('everything is healthy again without a command, and status says since when', async () => {
    await expect.poll(ailing, limit).toEqual([]);
    const booted = new Date(Number(await asPerson(vm, "sed -n 's/^btime //p' /proc/stat")) * 1000);
    for (const { step, since } of await status()) {
      if (!components.includes(step as (typeof components)[number])) continue;
      expect(new Date(since ?? 0).getTime(), step).toBeGreaterThanOrEqual(booted.getTime() - 2000);
    }
  });

  test('the Pods of before run again and reach everything', async () => {
    await asPerson(vm, 'kubectl get nodes; kubectl rollout status deployment web --timeout=900s');
    await expect.poll(() => podsReachAll().then(() => 'all', String), { timeout: 300_000, interval: 3000 }).toBe('all');
  });
});

test('reset with ten Pods running gives the machine back as it was, and says so', async () => {
  await scaleWeb(vm, 10);
  const reset = await sudoHardway(vm, ['reset', '--yes']);
  succeeded(reset);
  expect(reset.stderr).toBe(''); // a failure shows the differences, which are in stdout
  expect(reset.stdout).toContain('as it was before');
  expect(await asPerson(vm, 'sudo ufw status')).not.toContain('10.200.0.0/16');
  expect(await asPerson(vm, 'ls -A ~ | grep -c kube || :')).toBe('0');
});

test('after a power cut in the middle of up, the next up goes on and ends well', async () => {
  const cut = sudoHardway(vm, ['up', '--cni', 'bridge', '--json']);
  // etcd is healthy and kube-apiserver on its way: a process that writes, files that are seconds old.
  while (!(await asPerson(vm, 'sudo cat /var/lib/hardway/state.json || :')).includes('"etcd"')) await sleep(1000);
  await sleep(3000);
  await cutPower();
  expect((await cut).code).not.toBe(0);
  // The rest follows in the next case: each step takes half a minute here.
  const { code, stdout, stderr } = await sudoHardway(vm, [
    ...['up', '--cni', 'bridge', '--to', 'kube-apiserver', '--json'],
  ]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(story(runEvents(stdout)).at(-1)).toBe('kube-apiserver healthy');
});

test('a year later the certificates have expired: check says so and what the clock says, and up makes new ones', async () => {
  await asPerson(vm, "sudo systemctl stop systemd-timesyncd || :; sudo date -s '+366 days'");
  const { code, stdout } = await sudoHardway(vm, ['check', 'certificates']);
  expect(code, stdout).toBe(1);
  expect(stdout).toMatch(/it expired on \S+, and the clock of this machine says \S+/);
  const ended = succeeded(await sudoHardway(vm, ['up', '--json']));
  expect(story(runEvents(ended.stdout)).at(-1)).toBe(`${stepIds.at(-1)} healthy`);
  await expect.poll(ailing, { timeout: 300_000, interval: 3000 }).toEqual([]);
});

test('a reset that a power cut ends in the middle is finished by the next one', async () => {
  const cut = sudoHardway(vm, ['reset', '--yes']);
  // etcd is stopped last: from then on mounts, links, rules and files go.
  while ((await asPerson(vm, 'systemctl is-active etcd || :')) === 'active') await sleep(500);
  await cutPower();
  expect((await cut).code).not.toBe(0);
  expect(succeeded(await sudoHardway(vm, ['reset', '--yes'])).stdout).toContain('as it was before');
});

test('a VM that is deleted leaves nothing on this machine', async () => {
  await deleteVm(name);
  expect(traces(name)).toEqual(nothing);
});
