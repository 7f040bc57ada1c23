import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, succeeded, until, up } from './lib.ts';

const name = 'e2e-reasons';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
});
afterAll(() => dropVm(name));

const kubectl = 'kubectl -n kube-system';
const patched = (path: string, value: string): string =>
  `${kubectl} patch deployment coredns --type=json -p '[{"op":"replace","path":"/spec/template/spec/${path}","value":"${value}"}]'`;

/** Breaks CoreDNS with a script, and waits until `check` shows these words as the reason of its step. */
const mustBecome = async (script: string, ...words: readonly RegExp[]): Promise<void> => {
  await sh(vm, script);
  await expect
    .poll(async () => (await hardway(vm, ['check', 'coredns'])).stdout, { timeout: 60_000, interval: 1000 })
    .toMatch(new RegExp(words.map(({ source }) => source).join('[\\s\\S]*')));
  expect((await hardway(vm, ['check', 'coredns'])).code).toBe(1);
};

describe('a firewall that rejects what Pods send', () => {
  test.for([
    [
      'by the last rule of a cloud image',
      'iptables -A INPUT -m state --state ESTABLISHED -j ACCEPT; iptables -A INPUT -i lo -j ACCEPT; iptables -A INPUT -j REJECT',
      'iptables-save | grep -v "^-A" | iptables-restore',
      'iptables -I INPUT -s 10.200.0.0/16 -j ACCEPT',
    ],
    [
      'by the policy of an nft chain',
      "nft add table inet mine; nft add chain inet mine input '{ type filter hook input priority 0; policy drop; }'",
      'nft delete table inet mine',
      'nft insert rule inet mine input ip saddr 10.200.0.0/16 accept',
    ],
  ] as const)('%s is refused, with the command that helps', async ([, add, remove, hint]) => {
    await sh(vm, add);
    const ran = await up(vm);
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain('the firewall rejects what Pods send to the API server on this machine');
    expect(ran.stderr).toContain(hint);
    await sh(vm, hint);
    const cured = await up(vm, '--dry-run');
    await sh(vm, remove);
    expect(cured.stderr).not.toContain('firewall');
    succeeded(cured);
  });
});

describe('CoreDNS that does not get ready', () => {
  beforeAll(async () => {
    succeeded(await up(vm));
  });

  test('because it asks itself is its own last word, and the file of name servers', async () => {
    const looping = `${kubectl} get configmap coredns -o yaml | sed 's,forward . /etc/resolv.conf,forward . 127.0.0.1,; s,# this machine knows no.*,forward . 127.0.0.1,' | ${kubectl} replace -f -`;
    await mustBecome(
      `${looping}; ${kubectl} delete pod -l k8s-app=kube-dns --wait=false`,
      /container coredns is in CrashLoopBackOff \(exit code 1\)/,
      /plugin\/loop: Loop \(127\.0\.0\.1/,
      /leads back to it: name another one in/,
    );
  });

  test('because of its image is what the registry said', async () => {
    await mustBecome(
      patched('containers/0/image', 'nothing.invalid/none:1'),
      /ErrImagePull|ImagePullBackOff/,
      /nothing\.invalid/,
    );
  });

  test('because of a volume is the newest Warning', async () => {
    await mustBecome(
      patched('volumes/0/configMap/name', 'not-there'),
      /ContainerCreating/,
      /configmap "not-there" not found/,
    );
  });

  test('because of a taint is its name', async () => {
    await mustBecome(
      `${kubectl} taint node --all mine=here:NoSchedule; ${kubectl} delete pod -l k8s-app=kube-dns --wait=false`,
      /untolerated taint/,
      /has the taint mine:NoSchedule/,
    );
  });

  test('is mended by up, once what only a person can change is changed', async () => {
    await sh(vm, `${kubectl} taint node --all mine-`);
    succeeded(await up(vm));
    succeeded(await hardway(vm, ['check']));
    await until(vm, `test "$(${kubectl} get pods -l k8s-app=kube-dns -o name | wc -l)" = 1`);
  });
});
