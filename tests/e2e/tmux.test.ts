import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Vm } from '../../lib/vm/vm.ts';
import { observations, observed, runEvents, stepIds } from './events.ts';
import { dropVm, freshVm, hardway, sh, succeeded, until, up } from './lib.ts';

const name = 'tm-tmux';
const ours = 'tmux -S /run/hardway-tmux';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
  await sh(vm, 'tmux new-session -d -s etcd "sleep 100000"');
});
afterAll(() => dropVm(name));

test('each component gets a tmux session under the guide’s name, and the whole story is told there, in English', async () => {
  const flags = ['--cni', 'bridge', '--supervisor', 'tmux', '--observe', '--json'];
  const { stdout } = succeeded(await hardway(vm, ['up', ...flags], { env: { LANG: 'C' } }));
  const told = observed(runEvents(stdout));
  expect(told).toEqual(observations({ cni: 'bridge', with: [], supervisor: 'tmux' }, stepIds, 'en'));
  expect(told.length).toBeGreaterThan(stepIds.length);
  expect((await sh(vm, `${ours} list-sessions -F '#{session_name}'`)).split('\n').sort()).toEqual([
    'apiserver',
    'containerd',
    'controller',
    'etcd',
    'kubelet',
    'proxy',
    'scheduler',
  ]);
  succeeded(await hardway(vm, ['check']));
});

test('a window shows the command and what it writes; the log has the same, for root only', async () => {
  const seen = await sh(vm, `${ours} capture-pane -p -S - -t =scheduler:`);
  expect(seen).toMatch(
    /^exec setpriv \\\n {2}--reuid=kube-scheduler \\\n[^/]* {2}\/var\/lib\/hardway\/bin\/kube-scheduler \\\n {2}--kubeconfig=/m,
  );
  expect(seen).toContain('Starting Kubernetes Scheduler');
  const logged = await hardway(vm, ['logs', 'kube-scheduler']);
  expect(logged.stdout).toContain('Starting Kubernetes Scheduler');
  expect(await sh(vm, "stat -c '%a %U' /var/lib/hardway/logs/*.log | sort -u")).toBe('600 root');
});

test('attach puts the window on a terminal, and detaching leaves the component alone', async () => {
  await sh(
    vm,
    `export TERM=xterm; script -qfc 'hardway attach scheduler' /tmp/screen </dev/null >/dev/null & script=$!
     until ${ours} list-clients -t =scheduler 2>/dev/null | grep -q .; do sleep 0.1; done
     ${ours} detach-client -s =scheduler; wait $script`,
  );
  succeeded(await hardway(vm, ['check', 'kube-scheduler']));
  expect(await hardway(vm, ['attach', 'etcd'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('hardway logs etcd'),
  });
});

test('killing a window is the death of its component: check and status say so, up repairs it', async () => {
  await sh(vm, `${ours} kill-window -t =scheduler:; ${ours} kill-window -t =kubelet:`);
  await until(vm, '! hardway check kubelet >/dev/null 2>&1');
  await until(vm, '! hardway check kube-scheduler >/dev/null 2>&1');
  const status = await hardway(vm, ['status']);
  expect(status.code).toBe(1);
  expect(status.stdout).toMatch(/kubelet +NOT HEALTHY +has no window in tmux/);
  expect(status.stdout).toContain('not after a reboot');
  succeeded(await up(vm));
  succeeded(await hardway(vm, ['check']));
});

test('when all of tmux is gone, as after a reboot, up brings it back', async () => {
  await sh(vm, `${ours} kill-server`);
  succeeded(await up(vm));
  succeeded(await hardway(vm, ['check']));
});

test('a lab that is up keeps its supervisor', async () => {
  const refused = await up(vm, '--supervisor', 'systemd');
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain('this lab has supervisor tmux');
});

test('back and reset take it back, and somebody else’s session of the same name was never touched', async () => {
  for (const _ of ['smoke', 'coredns', 'network']) succeeded(await hardway(vm, ['back', '--yes']));
  expect(await hardway(vm, ['reset', '--yes'])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('the host is as it was before'),
  });
  expect(await sh(vm, "tmux list-panes -a -F '#{session_name} #{pane_current_command}'")).toBe('etcd sleep');
});
