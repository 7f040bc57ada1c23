import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Ran } from '../../lib/host/run.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, succeeded, until, up } from './lib.ts';

const name = 'e2e-keys';
const kubectl = 'kubectl --kubeconfig /var/lib/hardway/kubeconfigs/admin.conf';
const encryption = '/var/lib/hardway/config/encryption.yaml';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
  succeeded(await up(vm));
});
afterAll(() => dropVm(name));

const pidOf = (component: string): Promise<string> => sh(vm, `systemctl show -p MainPID --value ${component}`);
const isRefused = (ran: Ran, ...words: readonly string[]): void => {
  expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(2);
  for (const word of words) expect(ran.stderr).toContain(word);
};
/** What check says of one step, which has to fail. */
const faultOf = async (step: string): Promise<string> => {
  const { code, stdout } = await hardway(vm, ['check', step]);
  expect(code, stdout).toBe(1);
  return stdout;
};

describe('facts that change under a lab', () => {
  test('are named by check, and up adapts the lab: name servers, the MTU', async () => {
    await sh(vm, "ip link set eth0 mtu 1400; echo 'nameserver 10.240.0.9' >/etc/resolv.conf");
    expect(await faultOf('preflight')).toMatch(/the name servers were .*, are now 10\.240\.0\.9/);
    expect(await faultOf('network')).toContain('eth0 has an MTU of 1400, was 1500');
    succeeded(await up(vm));
    succeeded(await hardway(vm, ['check']));
    expect(await sh(vm, 'nsenter -t "$(pgrep -nx coredns)" -n ip -o link show eth0')).toContain('mtu 1400');
    expect(await sh(vm, 'cat "/proc/$(pgrep -nx coredns)/root/etc/resolv.conf"')).toContain('10.240.0.9');
    expect(succeeded(await up(vm)).stdout).not.toContain('healthy');
  });

  test('a sysctl file of the machine does not win over the lab; one that does is named', async () => {
    await sh(vm, 'echo net.ipv4.ip_forward=0 >/etc/sysctl.d/99-zzz.conf; sysctl -q --system || true');
    expect(await sh(vm, 'sysctl -n net.ipv4.ip_forward')).toBe('1');
    await sh(vm, 'mv /etc/sysctl.d/99-zzz.conf /etc/sysctl.d/zzz.conf; sysctl -q --system || true');
    expect(await faultOf('preflight')).toContain('net.ipv4.ip_forward is 0, not 1: /etc/sysctl.d/zzz.conf sets it');
    await sh(vm, 'rm /etc/sysctl.d/zzz.conf');
    succeeded(await up(vm));
    expect(await sh(vm, 'sysctl -n net.ipv4.ip_forward')).toBe('1');
  });
});

test('a clock ten years back is refused before anything is changed, and named by check', async () => {
  const sums = 'cd /var/lib/hardway && sha256sum certs/* state.json ledger.jsonl';
  const before = await sh(vm, sums);
  const off = `const D=Date,o=10*365*864e5;globalThis.Date=class extends D{constructor(...a){a.length?super(...a):super(D.now()-o)}static now(){return D.now()-o}}`;
  const then = (...args: readonly string[]): Promise<Ran> =>
    execInVm(vm, [
      'sh',
      '-c',
      `exec "$(ls /var/cache/hardway/node/node_modules/node/node_modules/*/bin/node | head -n 1)" --import "data:text/javascript,${off}" /opt/hardway/bin/cli.ts ${args.join(' ')}`,
    ]);
  isRefused(await then('up', '--cni', 'bridge'), 'the clock of this machine says 20', 'date -s');
  expect(await sh(vm, sums)).toBe(before);
  expect((await then('check', 'certificates')).stdout).toMatch(
    /valid only from .* the clock of this machine says .*set it/,
  );
});

test('a healthz that another program answers is not that of the kubelet', async () => {
  await sh(
    vm,
    `systemctl stop kubelet
     systemd-run -q --unit=other "$(ls /var/cache/hardway/node/node_modules/node/node_modules/*/bin/node | head -n 1)" -e 'http.createServer((_, answer) => answer.end("ok")).listen(10248, "127.0.0.1")'
     until curl -sf http://127.0.0.1:10248/healthz >/dev/null; do sleep 0.1; done
     systemctl start kubelet`,
  );
  const fault = await faultOf('kubelet').finally(() => sh(vm, 'systemctl stop other'));
  expect(fault).toMatch(/port 10248 is held by \S+\/node \(pid \d+\), not by kubelet/);
  await until(vm, 'hardway check kubelet >/dev/null 2>&1');
});

describe('the key of the Secrets', () => {
  test('that was changed or deleted under a running API server is named by check; up refuses and restarts nothing', async () => {
    await sh(vm, `${kubectl} create secret generic mine --from-literal=word=kept; cp -p ${encryption} /root/kept.yaml`);
    const pid = await pidOf('kube-apiserver');
    const command = 'hardway reset --to etcd (all objects go)';
    await sh(vm, `sed -i 's/secret: .*/secret: ${'A'.repeat(43)}=/' ${encryption}`);
    expect(await faultOf('kube-apiserver')).toContain(`${encryption} was changed since kube-apiserver started`);
    isRefused(await up(vm), 'the key of the Secrets in etcd is missing', command);
    await sh(vm, `rm ${encryption}`);
    expect(await faultOf('kube-apiserver')).toContain(`${encryption} is missing`);
    isRefused(await up(vm), 'the key of the Secrets in etcd is missing', command);
    expect(await pidOf('kube-apiserver')).toBe(pid);
  });

  test('is not replaced by a new one when the API server is down either; put back, everything is there', async () => {
    await sh(vm, 'systemctl stop kube-apiserver');
    isRefused(await up(vm), `${encryption} is missing`);
    expect(await sh(vm, `ls ${encryption} 2>/dev/null || echo no`)).toBe('no');
    await sh(vm, `cp -p /root/kept.yaml ${encryption}`);
    succeeded(await up(vm));
    expect(await sh(vm, `${kubectl} get secret mine -o 'jsonpath={.data.word}' | base64 -d`)).toBe('kept');
  });
});

test('a new service-account key: check sees that CoreDNS is blind, up gives every Pod a token that counts', async () => {
  await sh(
    vm,
    `${kubectl} create deployment mine --image="$(/var/lib/hardway/bin/ctr -n k8s.io images ls -q | grep agnhost | head -n 1)" -- /agnhost pause
     ${kubectl} wait deployment mine --for=condition=Available --timeout=60s`,
  );
  const uid = await sh(vm, `${kubectl} get pods -l app=mine -o 'jsonpath={.items[0].metadata.uid}'`);
  const token = `sha256sum /var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~projected/*/token`;
  const [kubelet, coredns, old] = await Promise.all([pidOf('kubelet'), sh(vm, 'pgrep -nx coredns'), sh(vm, token)]);
  await sh(vm, 'rm /var/lib/hardway/certs/service-account*.pem');
  succeeded(await up(vm, '--to', 'kube-apiserver'));
  expect(await faultOf('coredns')).toMatch(/FAIL +coredns +the name of a Service made now is answered/);
  succeeded(await up(vm));
  succeeded(await hardway(vm, ['check']));
  expect(await pidOf('kubelet')).not.toBe(kubelet);
  expect(await sh(vm, 'pgrep -nx coredns')).not.toBe(coredns);
  expect(await sh(vm, `${kubectl} -n kube-system get services -o name`)).toBe('service/kube-dns');
  await until(vm, `[ "$(${token})" != "${old}" ]`); // a Pod of the person's own is not replaced, its token is
});

test('a component that dies of a full disk: the disk is named', async () => {
  await sh(vm, 'systemctl stop etcd; mount -t tmpfs -o size=1m none /var/lib/hardway/etcd');
  const ran = await up(vm);
  expect(ran.code).toBe(1);
  expect(ran.stderr).toMatch(/etcd does not stay up[\s\S]*the disk of \/var\/lib\/hardway\/etcd has [\d.]+ \S+ free/);
  expect(ran.stderr).toContain('df -h /var/lib/hardway');
  await sh(vm, 'systemctl stop etcd; umount /var/lib/hardway/etcd');
  succeeded(await up(vm));
});

describe('data of etcd that are deleted', () => {
  test('while it runs are named, and up does not lose what is still open', async () => {
    await sh(vm, 'sleep 10; rm -rf /var/lib/hardway/etcd/member');
    expect(await faultOf('etcd')).toContain('was deleted while etcd runs');
    isRefused(await up(vm), 'was deleted while etcd runs', 'etcdctl snapshot save', 'hardway reset --to kubeconfigs');
  });

  test('and made anew are said to be gone, and everything that watched them is started again', async () => {
    const before = await pidOf('kube-controller-manager');
    await sh(vm, 'systemctl restart etcd');
    expect(await faultOf('kube-controller-manager')).toMatch(/before \/var\/lib\/hardway\/etcd\/member was written/);
    expect(succeeded(await up(vm)).stderr).toContain("etcd's data are not those of the last hardway up");
    succeeded(await hardway(vm, ['check']));
    expect(await pidOf('kube-controller-manager')).not.toBe(before);
    const [pid, again] = [await pidOf('kube-apiserver'), await up(vm)];
    expect(succeeded(again).stdout).not.toContain('healthy');
    expect(await pidOf('kube-apiserver')).toBe(pid);
  });
});
