import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Ran } from '../../lib/host/run.ts';
import type { Vm } from '../../lib/vm/vm.ts';
import { components, runEvents, stepIds, story } from './events.ts';
import { dropVm, succeeded } from './lib.ts';
import { asPerson, deployWeb, sudoHardway, ubuntuVm } from './ubuntu-vm.ts';

const name = 'e2e-ubuntu';
let vm: Vm;
let first: Ran;

beforeAll(async () => {
  vm = await ubuntuVm(name);
  first = await sudoHardway(vm, ['up', '--cni', 'bridge', '--json']);
});
afterAll(() => dropVm(name));

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
    .filter((line) => line.startsWith('{'))
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

describe('sudo hardway up on a machine like an Ubuntu', () => {
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
    await deployWeb(vm, 2);
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
  test('everything is healthy again without a command, and status says since when', async () => {
    const bootId = (): Promise<string> => asPerson(vm, 'cat /proc/sys/kernel/random/boot_id');
    const before = await bootId();
    await asPerson(vm, 'sudo systemctl reboot').catch(() => '');
    const limit = { timeout: 15 * 60_000, interval: 3000 };
    await expect.poll(() => bootId().catch(() => before), limit).not.toBe(before);
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

test('a year later the certificates have expired: check says so and what the clock says, and up makes new ones', async () => {
  await asPerson(vm, "sudo systemctl stop systemd-timesyncd || :; sudo date -s '+366 days'");
  const { code, stdout } = await sudoHardway(vm, ['check', 'certificates']);
  expect(code, stdout).toBe(1);
  expect(stdout).toMatch(/it expired on \S+, and the clock of this machine says \S+/);
  succeeded(await sudoHardway(vm, ['up', '--json']));
  await expect.poll(ailing, { timeout: 300_000, interval: 3000 }).toEqual([]);
});
