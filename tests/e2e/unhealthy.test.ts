import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Vm } from '../../lib/vm/vm.ts';
import { runEvents } from './events.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const name = 'e2e-unhealthy';
let vm: Vm;

beforeEach(async () => {
  vm = await freshVm(name);
});
afterEach(() => dropVm(name));

const noBug = /\bbug\b|\n {4}at /;

describe('a step that cannot get healthy', () => {
  test('because its component dies: its last log lines, its exact command, exit code 1; up goes on when it is cured', async () => {
    succeeded(await up(vm, '--to', 'kubeconfigs'));
    await sh(vm, 'mkdir -m 700 /var/lib/hardway/etcd; echo this is a file >/var/lib/hardway/etcd/member');
    const ran = await up(vm, '--to', 'etcd');
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/etcd.*ended|etcd.*does not stay up/);
    expect(ran.stderr).toContain('/var/lib/hardway/bin/etcd --name=kubernetes --data-dir=/var/lib/hardway/etcd');
    expect(ran.stderr).toMatch(/last log lines:[\s\S]*not a directory/);
    expect(ran.stderr).toContain('hardway logs etcd');
    expect(ran.stderr).not.toMatch(noBug);
    await sh(vm, 'rm /var/lib/hardway/etcd/member');
    expect(succeeded(await up(vm, '--to', 'etcd')).stderr).toBe('');
    succeeded(await hardway(vm, ['check', 'etcd']));
  });

  test('in its time: the check and the last reason, exit code 1; up goes on when it is cured', async () => {
    await sh(vm, 'echo "deadline: 3" >/etc/hardway.yaml');
    await sh(vm, 'iptables -I INPUT -p tcp --dport 2379 -j REJECT --reject-with tcp-reset');
    const ran = await up(vm, '--to', 'etcd');
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain('answers https://127.0.0.1:2379/readyz');
    expect(ran.stderr).toContain('after 3 s');
    expect(ran.stderr).toContain('ECONNREFUSED');
    expect(ran.stderr).toContain('next: ');
    expect(ran.stderr).not.toMatch(noBug);
    await sh(vm, 'iptables -D INPUT -p tcp --dport 2379 -j REJECT --reject-with tcp-reset; rm /etc/hardway.yaml');
    expect(succeeded(await up(vm, '--to', 'etcd')).stderr).toBe('');
  });
});

describe('a run that fails while images are still imported', () => {
  test('ends at once: nothing works on after the lock is given back, and the last line of --json says why', async () => {
    await sh(
      vm,
      'echo "deadline: 3" >/etc/hardway.yaml; iptables -I INPUT -p tcp --dport 2379 -j REJECT --reject-with tcp-reset',
    );
    const ran = await up(vm, '--json');
    expect(ran.code).toBe(1);
    const events = runEvents(ran.stdout);
    expect(events.at(-1)).toMatchObject({ event: 'done', ok: false, reason: expect.stringContaining('after 3 s') });
    expect(await sh(vm, 'pgrep -x ctr || pgrep -x crictl || ls /run/hardway.lock 2>/dev/null || echo nothing')).toBe(
      'nothing',
    );
  });
});

describe('a disk that gets full', () => {
  test('under the state of the lab is named, and up goes on when there is room', async () => {
    await sh(vm, 'mkdir -m 700 /var/lib/hardway; mount -t tmpfs -o size=3g,mode=700 none /var/lib/hardway');
    succeeded(await up(vm, '--to', 'preflight'));
    await sh(vm, 'mount -o remount,size=$(($(du -sk /var/lib/hardway | cut -f1) + 40))k /var/lib/hardway');
    const ran = await up(vm, '--to', 'kubeconfigs');
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('/var/lib/hardway');
    expect(ran.stderr).toMatch(/no space left/i);
    expect(ran.stderr).not.toMatch(noBug);
    await sh(vm, 'mount -o remount,size=1g /var/lib/hardway');
    expect(succeeded(await up(vm, '--to', 'kubeconfigs')).stderr).toBe('');
  });
});

describe('a binary in the cache that is not what was put there', () => {
  test('is never run: without a way to get it again the run ends, naming it', async () => {
    // A cache of links to the shared one, but for etcd: same size, other content.
    await sh(
      vm,
      `mkdir /tmp/cache; ln -s /var/cache/hardway/node /tmp/cache/node; cp -rs /var/cache/hardway/bin /var/cache/hardway/images /tmp/cache
       cd /tmp/cache/bin/*/etcd-*; printf '#!/bin/sh\\ntouch /tmp/was-run\\n' >/tmp/etcd; truncate -s "$(stat -Lc %s etcd)" /tmp/etcd
       rm etcd; cp /tmp/etcd etcd; chmod 755 etcd`,
    );
    const ran = await hardway(vm, ['up', '--cni', 'bridge', '--to', 'etcd'], { env: { HARDWAY_CACHE: '/tmp/cache' } });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('etcd');
    expect(ran.stderr).not.toMatch(noBug);
    expect(await sh(vm, 'ls /tmp/was-run 2>/dev/null || echo no')).toBe('no');
    succeeded(await up(vm, '--to', 'etcd'));
  });
});
