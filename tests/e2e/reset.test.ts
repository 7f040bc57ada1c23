import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { imageReference } from '../../lib/binaries/versions.ts';
import { paths } from '../../lib/host/paths.ts';
import { inside } from '../../lib/vm/guest.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const name = 'e2e-reset';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
});
afterAll(() => dropVm(name));

const reset = (...flags: readonly string[]) => hardway(vm, ['reset', ...flags]);
const asBefore = { code: 0, stderr: '', stdout: expect.stringContaining('the host is as it was before') };

const deployment = (pods: number): string =>
  JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'many', namespace: 'default' },
    spec: {
      replicas: pods,
      selector: { matchLabels: { app: 'many' } },
      template: {
        metadata: { labels: { app: 'many' } },
        spec: {
          terminationGracePeriodSeconds: 600,
          containers: [{ name: 'c', image: imageReference('agnhost'), imagePullPolicy: 'Never' }],
        },
      },
    },
  });

/** Pods that would take ten minutes to end when asked kindly. */
const runPods = async (pods: number): Promise<void> => {
  await sh(
    vm,
    `export KUBECONFIG=/var/lib/hardway/kubeconfigs/admin.conf
    echo '${deployment(pods)}' | kubectl apply -f -; kubectl rollout status deployment/many --timeout=120s`,
  );
};

/** How the VM differs from itself after some seconds, as the project's own snapshots see it. */
const node = '/var/cache/hardway/node/node_modules/node/bin/node';
const differencesAfter = (seconds: number): Promise<string> =>
  sh(vm, `${node} ${inside.project}/tests/e2e/snapshot-twice.ts ${seconds}`);

describe('on a machine with things of others', () => {
  const foreign = `
    iptables -N FOREIGN; iptables -A FOREIGN -s 192.0.2.1 -j DROP; iptables -I FORWARD -j FOREIGN
    iptables -t nat -N NAT-FOREIGN; iptables -t nat -A POSTROUTING -s 192.0.2.2 -j NAT-FOREIGN
    ip6tables -A INPUT -s 2001:db8::1 -j DROP
    iptables-legacy -t filter -A INPUT -s 192.0.2.3 -j DROP || :
    ipset create foreign hash:ip; ipset add foreign 192.0.2.4
    ip netns add foreign; ip netns add cni-foreign
    ip link add foreign0 type veth peer name foreign1; ip address add 192.0.2.5/32 dev foreign0
    ip route add blackhole 198.51.100.0/24 proto 80
    mkdir -p /root/.kube /opt/cni/bin; echo foreign >/root/.kube/config
    echo foreign >/etc/crictl.yaml; chmod 640 /etc/crictl.yaml; ln -s /nowhere /usr/local/bin/etcdctl`;

  test('two snapshots a minute apart are equal', async () => {
    await sh(vm, foreign);
    expect(await differencesAfter(60)).toBe('');
  });

  test('a lab with ten Pods that do not end when asked is reset, and the host is as it was', async () => {
    succeeded(await up(vm));
    await runPods(10);
    expect(await reset('--yes')).toMatchObject(asBefore);
  });

  test('what others had is still theirs', async () => {
    expect(await sh(vm, 'iptables-save')).toMatch(/FOREIGN -s 192\.0\.2\.1\/32 -j DROP[\s\S]*-j NAT-FOREIGN/);
    expect(await sh(vm, 'ipset save foreign')).toContain('add foreign 192.0.2.4');
    expect(
      await sh(vm, 'ls /run/netns; cat /root/.kube/config /etc/crictl.yaml; readlink /usr/local/bin/etcdctl'),
    ).toBe('cni-foreign\nforeign\nforeign\nforeign\n/nowhere');
    expect(await sh(vm, 'ip -br link show dev foreign0; ip route show proto 80')).toMatch(
      /foreign0[\s\S]*198\.51\.100/,
    );
  });

  test('where nothing is installed reset says so', async () => {
    expect(await reset()).toMatchObject({ code: 0, stdout: expect.stringContaining('there is no lab') });
    expect(await hardway(vm, ['back'])).toMatchObject({ code: 0, stdout: expect.stringContaining('there is no lab') });
  });
});

describe('on a running lab', () => {
  beforeAll(async () => {
    succeeded(await up(vm));
  });

  test('reset in a pipe refuses without --yes and says what would be lost', async () => {
    const asked = await reset();
    expect(asked.code).toBe(2);
    expect(asked.stderr).toMatch(/Pods and their volumes[\s\S]*etcd's data[\s\S]*hardway reset --yes/);
  });

  test.each([
    ['no', 'n\\n', 2, /Go on\? \[y\/N\][\s\S]*nothing was changed/],
    ['Ctrl-C', '\\003', 2, /Go on\? \[y\/N\][\s\S]*nothing was changed/],
  ])('on a terminal reset asks, and %s changes nothing', async (_, typed, code, said) => {
    // Typed once the question is there: a terminal throws away what came before.
    const answer = `(sleep 2; printf '${typed}'; sleep 2) | script -qefc 'hardway reset' /dev/null`;
    const asked = await execInVm(vm, ['sh', '-c', answer]);
    expect(asked.stdout).toMatch(said);
    expect(asked.code).toBe(code);
    succeeded(await hardway(vm, ['status']));
  });

  test('a dry run says what would be taken back and touches nothing', async () => {
    const dry = await reset('--dry-run');
    expect(dry.code).toBe(0);
    for (const word of ['kube-apiserver', 'cni0', '/var/lib/kubelet', '/etc/systemd/system/etcd.service'])
      expect(dry.stdout).toContain(word);
    expect(dry.stdout).toMatch(/rules and chains removed\n {4}\(one by one.*\n {4}iptables-nft/);
    succeeded(await hardway(vm, ['status']));
  });

  test('an unknown step is refused with the nearest one', async () => {
    const wrong = await reset('--to', 'kubelt', '--yes');
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('kubelet');
  });

  test('a step that this lab has not is refused, and nothing is lost', async () => {
    for (const words of [
      ['reset', '--to', 'ingress', '--yes'],
      ['check', 'ingress'],
      ['up', '--to', 'ingress'],
    ]) {
      const refused = await hardway(vm, words);
      expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('this lab has no step ingress') });
    }
    succeeded(await hardway(vm, ['check']));
  });

  test('reset --to kubelet takes back what came after it, and up goes on from there', async () => {
    succeeded(await reset('--to', 'kubelet', '--yes'));
    expect(await sh(vm, 'iptables-save | grep -c KUBE-SERVICES || :; ip link show cni0 2>&1 || :')).toMatch(
      /^0\nDevice "cni0" does not exist/,
    );
    succeeded(await hardway(vm, ['check', 'kubelet']));
    succeeded(await up(vm));
  });

  test('Pods that containerd does not remove keep their network, and a second reset finishes', async () => {
    const crictl = '/var/lib/hardway/bin/crictl';
    await sh(vm, `mv ${crictl} ${crictl}.aside; printf '#!/bin/sh\\nexit 1\\n' >${crictl}; chmod 755 ${crictl}`);
    const first = await reset('--to', 'kube-proxy', '--yes');
    expect(first).toMatchObject({ code: 1, stdout: expect.stringContaining('containerd does not list its Pods') });
    expect(first.stderr).toMatch(/nothing after "Pods removed" was taken back[\s\S]*hardway up/);
    await sh(vm, `pgrep -x coredns; ip link show cni0; mv ${crictl}.aside ${crictl}`);
    succeeded(await hardway(vm, ['check']));
  });

  test('reset --to kube-proxy leaves it its chains', async () => {
    succeeded(await reset('--to', 'kube-proxy', '--yes'));
    succeeded(await hardway(vm, ['check']));
    succeeded(await up(vm));
  });

  test('back takes one step after the other, and up goes on from there', async () => {
    succeeded(await reset('--to', 'kube-scheduler', '--yes'));
    expect(await hardway(vm, ['back', '--yes'])).toMatchObject({ code: 0, stdout: /back at kube-controller-manager/ });
    expect(await sh(vm, 'systemctl is-active kube-scheduler kube-controller-manager || :')).toBe('inactive\nactive');
    succeeded(await up(vm));
  });

  test('what another terminal adds while the question stands is not lost: the reset is refused', async () => {
    succeeded(await reset('--to', 'kube-scheduler', '--yes'));
    const answer = `(sleep 2; hardway next >/dev/null 2>&1; printf 'y\\n'; sleep 4) | script -qefc 'hardway back' /dev/null`;
    const asked = await execInVm(vm, ['sh', '-c', answer]);
    expect(asked.stdout).toMatch(/the steps kube-scheduler[\s\S]*the lab has changed since you were asked/);
    expect(asked.code).toBe(2);
    succeeded(await hardway(vm, ['check', 'containerd']));
    expect(await hardway(vm, ['back', '--yes'])).toMatchObject({ code: 0, stdout: /back at kube-scheduler/ });
    succeeded(await up(vm));
  });

  test('reset --to the last step has nothing to take back and asks nothing', async () => {
    expect(await reset('--to', 'smoke')).toMatchObject({ code: 0, stdout: /no step after smoke/ });
  });

  test('reset --to etcd empties it: the next API server has another key for Secrets', async () => {
    const kubectl = (args: string) => sh(vm, `kubectl --kubeconfig ${paths.kubeconfigs}/admin.conf ${args}`);
    await kubectl('create secret generic mine --from-literal=word=x');
    expect(succeeded(await reset('--to', 'etcd', '--yes')).stdout).toMatch(/objects removed from etcd +\d+ objects/);
    succeeded(await up(vm));
    expect(await kubectl('get secret mine 2>&1 || :')).toContain('not found');
  });

  test('another network is refused until the lab is reset to its certificates', async () => {
    await sh(vm, 'echo "serviceCIDR: 10.99.0.0/24" >/etc/hardway.yaml');
    const refused = await up(vm);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('hardway reset --to certificates');
    succeeded(await reset('--to', 'certificates', '--yes'));
    succeeded(await up(vm));
    expect(
      await sh(
        vm,
        'kubectl --kubeconfig /var/lib/hardway/kubeconfigs/admin.conf get service kubernetes -o jsonpath={.spec.clusterIP}',
      ),
    ).toBe('10.99.0.1');
  });

  test('with its files torn, etcd corrupt and containerd dead while Pods run it is reset all the same', async () => {
    await runPods(3);
    await sh(
      vm,
      `rm /etc/hardway.yaml
      systemctl kill -s KILL containerd kube-apiserver; systemctl stop containerd etcd
      find /var/lib/hardway/etcd -type f -exec truncate -s 100 {} +
      truncate -s 40 /var/lib/hardway/state.json
      printf '{"at":"20' >>/var/lib/hardway/ledger.jsonl`,
    );
    expect(await reset('--yes')).toMatchObject(asBefore);
  });
});

describe('when something is in the way', () => {
  test('a busy mount is named with its process; after that has ended a second reset finishes', async () => {
    succeeded(await up(vm, '--to', 'kubelet'));
    await sh(
      vm,
      `mkdir /var/lib/kubelet/busy; mount -t tmpfs tmpfs /var/lib/kubelet/busy
      cd /var/lib/kubelet/busy; nohup sleep 3600 >/dev/null 2>&1 & echo $! >/tmp/sleep.pid`,
    );
    const first = await reset('--yes');
    expect(first.code).toBe(1);
    expect(first.stdout).toMatch(/NOT DONE: \/var\/lib\/kubelet\/busy: .*sleep \(pid \d+\)/);
    expect(first.stderr).toContain('hardway reset --yes');
    await sh(vm, 'kill "$(cat /tmp/sleep.pid)"; until ! [ -e /proc/"$(cat /tmp/sleep.pid)" ]; do sleep 0.1; done');
    expect(await reset('--yes')).toMatchObject(asBefore);
  });

  test('a reset that is killed in the middle is finished by the next one', async () => {
    for (const seconds of [0.7, 1.2, 1.9]) {
      succeeded(await up(vm));
      await sh(vm, `timeout --signal=KILL ${seconds} hardway reset --yes >/dev/null 2>&1 || :`);
      const finished = await reset('--yes');
      expect(finished.code, finished.stdout + finished.stderr).toBe(0);
    }
  });

  test('what was changed or made by others meanwhile is kept and named', async () => {
    succeeded(await up(vm));
    await sh(
      vm,
      `echo '# mine' >>/etc/crictl.yaml; ip link add later0 type veth peer name later1; iptables -N LATER
      /var/lib/hardway/bin/ctr -n mine images import /var/cache/hardway/images/*/*pause*.tar >/dev/null`,
    );
    const done = await reset('--yes');
    expect(done.code).toBe(1);
    expect(done.stdout).toMatch(/kept: \/etc\/crictl\.yaml was changed .* \/etc\/crictl\.yaml\.hardway-kept/);
    expect(done.stdout).toMatch(/kept: \/var\/lib\/containerd: containers or images of others/);
    expect(done.stdout).toContain('new: link later0');
    expect(done.stdout).toContain('new: iptables chain iptables-nft -t filter LATER');
    expect(await sh(vm, 'tail -1 /etc/crictl.yaml.hardway-kept')).toBe('# mine');
    await sh(vm, 'ip link delete later0; iptables -X LATER; rm /etc/crictl.yaml.hardway-kept');

    // What is left in containerd is somebody's now: the next lab would take it over, so it is refused until it is moved.
    const refused = await up(vm, '--to', 'containerd');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('data of others are in /var/lib/containerd');
    const moves = [...refused.stderr.matchAll(/as with: (mkdir .*)$/gm)].map(([, command = '']) => command);
    await sh(vm, moves.join('\n'));
    succeeded(await up(vm, '--to', 'containerd'));
    await sh(vm, 'grep -q pause /root/before/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db');
    await sh(vm, 'rm -r /root/before');
  });
});

test('the cache of another machine is not purged', async () => {
  const purged = await reset('--purge', '--yes');
  expect(purged.stdout).toContain('kept: /var/cache/hardway');
  expect(await sh(vm, 'ls /var/cache/hardway')).toContain('images');
});
