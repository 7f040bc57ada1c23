import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Vm } from '../../lib/vm/vm.ts';
import { components, runEvents, stepIds, story } from './events.ts';
import { dropVm, freshVm, hardway, sh, succeeded, until, up } from './lib.ts';

const name = 'e2e-repair';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
  succeeded(await up(vm));
});
afterAll(() => dropVm(name));

/** What its own check says when nobody is there. */
const reasons: Readonly<Record<(typeof components)[number], string>> = {
  etcd: 'ECONNREFUSED 127.0.0.1:2379',
  'kube-apiserver': 'ECONNREFUSED 127.0.0.1:6443',
  'kube-controller-manager': 'ECONNREFUSED 127.0.0.1:10257',
  'kube-scheduler': 'ECONNREFUSED 127.0.0.1:10259',
  containerd: '/run/containerd/containerd.sock',
  kubelet: 'ECONNREFUSED 127.0.0.1:10248',
  'kube-proxy': 'ECONNREFUSED 127.0.0.1:10256',
};

const mainPid = (component: string): Promise<string> => sh(vm, `systemctl show -p MainPID --value ${component}`);

describe.each(components)('%s', (component) => {
  test('killed, is started again by systemd and gets healthy by itself', async () => {
    const before = await mainPid(component);
    await sh(vm, `kill -KILL ${before}`);
    await until(vm, `hardway check ${component} >/dev/null 2>&1`);
    expect(await mainPid(component)).not.toBe(before);
  });

  test('killed and kept down, is reported by check with the reason and repaired by up', async () => {
    await sh(vm, `kill -KILL ${await mainPid(component)}; systemctl stop ${component}`);

    const looked = await hardway(vm, ['check', component]);
    expect(looked.code).toBe(1);
    expect(looked.stdout).toMatch(new RegExp(`FAIL +${component}`));
    expect(looked.stdout).toContain(reasons[component]);
    expect(looked.stderr).toContain('hardway up');

    const repaired = await up(vm, '--json');
    succeeded(repaired);
    expect(repaired.stderr).toBe('');
    const at = stepIds.indexOf(component);
    expect(story(runEvents(repaired.stdout))).toEqual([
      ...stepIds.slice(0, at).map((step) => `${step} skipped`),
      ...stepIds.slice(at).flatMap((step) => [`${step} started`, `${step} healthy`]),
    ]);
    succeeded(await hardway(vm, ['check']));
  });
});

test('a unit that systemd holds as it was before, and cannot start, is loaded anew', async () => {
  const unit = '/etc/systemd/system/kube-scheduler.service';
  await sh(
    vm,
    `systemctl stop kube-scheduler; cp ${unit} /root/right; echo '[Service]' >${unit}; systemctl daemon-reload; cp /root/right ${unit}
     ! systemctl start kube-scheduler`,
  );
  expect(await sh(vm, 'systemctl show --value -p LoadState kube-scheduler')).toBe('bad-setting');
  succeeded(await up(vm));
  succeeded(await hardway(vm, ['check']));
});

test('a CA that is lost is made anew, and Pods that believed in the old one with it', async () => {
  await sh(vm, 'rm /var/lib/hardway/certs/ca.pem /var/lib/hardway/certs/ca-key.pem');
  succeeded(await up(vm)); // its smoke test has CoreDNS find a Service that the API server has just made
  succeeded(await hardway(vm, ['check']));
});

test('doctor finds a healthy lab right, and one without its store wrong at the store; its report has logs and no key', async () => {
  const atLab = async (...args: readonly string[]) =>
    (await hardway(vm, ['doctor', '--json', ...args])).stdout
      .split('\n')
      .map((line): { look?: string; problem?: string } => JSON.parse(line))
      .filter(({ look }) => look === 'lab');
  expect(await atLab()).toEqual([]);

  await sh(vm, 'systemctl stop etcd');
  const [first] = await atLab('--report', '/root/report.tar.gz');
  expect(first?.problem).toMatch(/^etcd: /);
  await sh(vm, 'mkdir /root/report; tar -xzf /root/report.tar.gz -C /root/report');
  expect(await sh(vm, 'cat /root/report/hardway-report/logs/etcd.log')).toContain('closed etcd server');
  // Every line of a private key, and the key of the Secrets, is looked for in every file of the report.
  const secrets = `grep -hv -e ----- /var/lib/hardway/certs/*-key.pem
    sed -n 's/.* secret: //p' /var/lib/hardway/config/encryption.yaml`;
  expect(Number(await sh(vm, `{ ${secrets}; } | tee /root/secrets | wc -l`))).toBeGreaterThan(100);
  expect(await sh(vm, 'grep -rlFf /root/secrets /root/report || echo none')).toBe('none');
  succeeded(await up(vm));
});
