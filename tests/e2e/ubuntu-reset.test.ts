import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bootVm, powerCut, type Vm } from '../../lib/vm/vm.ts';
import { runEvents, stepIds, story } from './events.ts';
import { dropVm, succeeded } from './lib.ts';
import { asPerson, deployWeb, sudoHardway, ubuntuVm } from './ubuntu-vm.ts';

const name = 'e2e-ubuntu-reset';
let vm: Vm;

beforeAll(async () => {
  vm = await ubuntuVm(name);
});
afterAll(() => dropVm(name));

test('after a power cut in the middle of up, the next up goes on and ends well', async () => {
  const cut = sudoHardway(vm, ['up', '--cni', 'bridge', '--json']);
  // etcd is healthy and kube-apiserver on its way: a process that writes, files that are seconds old.
  while (!(await asPerson(vm, 'sudo cat /var/lib/hardway/state.json || :')).includes('"etcd"')) await sleep(1000);
  await sleep(3000);
  await powerCut(vm);
  expect((await cut).code).not.toBe(0);
  await bootVm(vm);
  const { code, stdout, stderr } = await sudoHardway(vm, ['up', '--cni', 'bridge', '--json']);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(story(runEvents(stdout)).at(-1)).toBe(`${stepIds.at(-1)} healthy`);
  expect((await sudoHardway(vm, ['status'])).code).toBe(0);
});

test('reset with ten Pods running gives the machine back as it was, and says so', async () => {
  await deployWeb(vm, 10);
  const reset = await sudoHardway(vm, ['reset', '--yes']);
  succeeded(reset);
  expect(reset.stderr).toBe(''); // a failure shows the differences, which are in stdout
  expect(reset.stdout).toContain('as it was before');
  expect(await asPerson(vm, 'sudo ufw status')).not.toContain('10.200.0.0/16');
  expect(await asPerson(vm, 'ls -A ~ | grep -c kube || :')).toBe('0');
});

test('a reset that a power cut ends in the middle is finished by the next one', async () => {
  succeeded(await sudoHardway(vm, ['up', '--cni', 'bridge']));
  const cut = sudoHardway(vm, ['reset', '--yes']);
  // etcd is stopped last: from then on mounts, links, rules and files go.
  while ((await asPerson(vm, 'systemctl is-active etcd || :')) === 'active') await sleep(500);
  await powerCut(vm);
  expect((await cut).code).not.toBe(0);
  await bootVm(vm);
  expect(succeeded(await sudoHardway(vm, ['reset', '--yes'])).stdout).toContain('as it was before');
});
