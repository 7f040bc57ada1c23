import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inside } from '../../lib/vm/guest.ts';
import type { Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const name = 'e2e-theirs';
let vm: Vm;

const look = (folder: string): Promise<string> =>
  sh(vm, `rm -rf ${folder}; sh ${inside.project}/tests/e2e/hostdiff.sh ${folder}`);
/** Differences since the look before, by a comparison that shares no code with hardway. */
const differences = async (): Promise<string> => {
  await look('/tmp/after');
  return sh(vm, `sh ${inside.project}/tests/e2e/hostdiff.sh /tmp/before /tmp/after || :`);
};
const reset = (...flags: readonly string[]) => hardway(vm, ['reset', '--yes', ...flags]);

/** Things of others beside the lab; /var/lib is moved to a disk, so that the folders in it are no mount points. */
const foreign = `
  disk=/mnt/disk; mkdir -p $disk /srv/kubelet
  mount --bind /var/lib/containerd $disk; umount /var/lib/containerd; cp -a /var/lib/. $disk; mount --bind $disk /var/lib
  ln -s /srv/kubelet /var/lib/kubelet
  mkdir -p /var/log/pods /var/lib/cni; mount -t tmpfs -o mode=755 logs /var/log/pods; mkdir /var/log/pods/lost+found
  mkdir -p /var/lib/hardway; mount -t tmpfs -o mode=755 lab /var/lib/hardway; mkdir /var/lib/hardway/lost+found
  echo mine >/var/lib/hardway/note
  iptables -N MINE; iptables -I FORWARD -j MINE; ip netns add cni-mine; ipset create mine hash:ip
  printf '#!/bin/sh\\n' >/usr/local/bin/kubectl; chmod 750 /usr/local/bin/kubectl`;

beforeAll(async () => {
  vm = await freshVm(name);
  await sh(vm, foreign);
});
afterAll(() => dropVm(name));

describe('beside mounts, links, chains and files of others', () => {
  test('a lab is reset, and neither comparison finds a difference; a second reset has nothing to do', async () => {
    await look('/tmp/before');
    succeeded(await up(vm, '--to', 'kubelet'));
    expect(await sh(vm, 'ls /srv/kubelet')).toContain('pods');
    const done = succeeded(await reset());
    expect(done.stdout).toContain('the host is as it was before');
    expect(done.stdout).toContain('kept: /var/lib/hardway/note is not ours');
    expect(await differences()).toBe('');
    expect(
      await sh(vm, 'cat /var/lib/hardway/note; ls /var/lib/hardway /var/log/pods; readlink /var/lib/kubelet'),
    ).toBe('mine\n/var/lib/hardway:\nlost+found\nnote\n\n/var/log/pods:\nlost+found\n/srv/kubelet');
    succeeded(await reset());
    expect(await differences()).toBe('');
  });

  test('of a lab that has lost its folder status and up name reset, which takes it back and nothing older', async () => {
    succeeded(await up(vm, '--to', 'kubelet', '--registry-mirror', 'http://127.0.0.1:5000'));
    await sh(vm, 'test -e /root/.kube/config; umount --lazy /var/lib/hardway; iptables -t nat -N KUBE-MINE');
    for (const command of ['status', 'up']) {
      const refused = await hardway(vm, [command]);
      expect(refused.code).toBe(2);
      expect(refused.stderr).toMatch(/has lost its folder[\s\S]*etcd[\s\S]*hardway reset/);
    }
    expect(await hardway(vm, ['back', '--yes'])).toMatchObject({ code: 2, stderr: expect.stringContaining('ledger') });
    await sh(vm, 'chattr +i /etc/crictl.yaml');
    const first = await reset();
    expect(first).toMatchObject({ code: 1, stdout: expect.stringMatching(/kept: .*ledger\.jsonl is lost/) });
    await sh(vm, 'chattr -i /etc/crictl.yaml');
    expect(succeeded(await reset()).stdout).toContain('there is no snapshot of the host from before');
    await sh(vm, 'mkdir -p /var/lib/hardway; mount -t tmpfs -o mode=755 lab /var/lib/hardway');
    await sh(vm, 'iptables -t nat -X KUBE-MINE'); // fails where it is gone
    expect(await sh(vm, 'systemctl list-unit-files --no-legend "kube*" etcd.service containerd.service || :')).toBe('');
    // The copies of the person's kubectl and of the files that useradd rewrites were in the folder; containerd has changed
    // the mode of its own.
    expect(await differences()).not.toMatch(
      /^[-+]\/(?!var\/lib\/containerd\t|usr\/local\/bin\/kubectl\b|etc\/g?(group|passwd|shadow)-)/m,
    );
  });
});

test('containers and images of others stay, also when containerd has ended and at every later reset', async () => {
  succeeded(await up(vm, '--to', 'containerd'));
  await sh(
    vm,
    `/var/lib/hardway/bin/ctr -n mine images import /var/cache/hardway/images/*/*pause*.tar >/dev/null
    systemctl stop containerd; mkdir -p /run/nri; mount -t tmpfs busy /run/nri`,
  );
  const first = await reset();
  expect(first.code).toBe(1);
  expect(first.stdout).toMatch(/NOT DONE: .*\/run\/nri/);
  await sh(vm, 'umount /run/nri');
  const second = await reset();
  for (const { stdout } of [first, second]) expect(stdout).toContain('kept: /var/lib/containerd: containers or images');
  expect(await sh(vm, 'ls /var/lib/containerd/io.containerd.content.v1.content/blobs/sha256 | wc -l')).not.toBe('0');
});
