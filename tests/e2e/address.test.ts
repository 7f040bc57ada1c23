import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const name = 'e2e-address';
const before = '10.240.0.10';
const after = '10.240.0.77';
const kubectl = 'kubectl --kubeconfig /var/lib/hardway/kubeconfigs/admin.conf';
const foreign = 'apiVersion: v1\nkind: Config\ncurrent-context: work\n';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
  await sh(vm, `mkdir -p ~/.kube; printf %s '${foreign}' >~/.kube/config`);
  succeeded(await up(vm));
  // What a DHCP server does that has given the old one to somebody else.
  await sh(
    vm,
    `ip address del ${before}/24 dev eth0; ip address add ${after}/24 dev eth0; ip route add default via 10.240.0.1`,
  );
});
afterAll(() => dropVm(name));

test('status and check say that the address of the machine changed, from what to what, and what to type', async () => {
  for (const command of ['status', 'check']) {
    const { code, stdout, stderr } = await hardway(vm, [command]);
    expect(code).toBe(1);
    expect(`${stdout}${stderr}`).toContain(`this machine's address was ${before}, is now ${after}`);
    expect(`${stdout}${stderr}`).toContain('hardway up');
  }
});

test('up says so and repairs: certificates, API server, Node and kubelet are at the new address', async () => {
  const { code, stderr } = await up(vm);
  expect(code).toBe(0);
  expect(stderr).toContain(`address was ${before}, is now ${after}`);
  for (const certificate of ['apiserver', 'kubelet-server', 'etcd-server']) {
    const names = await sh(vm, `openssl x509 -noout -ext subjectAltName -in /var/lib/hardway/certs/${certificate}.pem`);
    expect(names).toContain(after);
    expect(names).not.toContain(before);
  }
  expect(await sh(vm, `${kubectl} get nodes -o 'jsonpath={.items[*].status.addresses[0].address}'`)).toBe(after);
  expect(await sh(vm, `${kubectl} get endpointslice kubernetes -o 'jsonpath={.endpoints[*].addresses[*]}'`)).toBe(
    after,
  );
  expect(await sh(vm, `ss -Hltn 'sport = 10250'`)).toContain(`${after}:10250`);
});

test('then status is content, and a second up has nothing to do', async () => {
  expect((await hardway(vm, ['status'])).code).toBe(0);
  const { code, stdout } = await up(vm);
  expect(code).toBe(0);
  expect(stdout).not.toContain('healthy');
});

test('another host name is refused, as the Node is its name', async () => {
  await sh(vm, 'hostname other; echo "127.0.1.1 other" >>/etc/hosts');
  const { code, stderr } = await up(vm).finally(() => sh(vm, 'hostname kubernetes'));
  expect(code).toBe(2);
  expect(stderr).toContain('hostnamectl set-hostname kubernetes');
});

test('a kubeconfig that a person had before is as it was', async () => {
  expect(await sh(vm, 'cat ~/.kube/config')).toBe(foreign.trimEnd());
});
