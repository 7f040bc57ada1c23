import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { imageReference } from '../../lib/binaries/versions.ts';
import type { Ran } from '../../lib/host/run.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { componentFiles } from '../component.ts';
import { components, runEvents, stepIds, story } from './events.ts';
import { dropVm, freshVm, sh, succeeded, until, up } from './lib.ts';

const name = 'e2e-up';
let vm: Vm;
let first: Ran;

beforeAll(async () => {
  vm = await freshVm(name);
  first = await up(vm, '--json');
});
afterAll(() => dropVm(name));

describe('up from nothing', () => {
  test('ends well, and every step was started and found healthy, in the order of the guide', () => {
    expect(first.stderr).toBe('');
    expect(first.code).toBe(0);
    const events = runEvents(first.stdout);
    expect(story(events)).toEqual(stepIds.flatMap((step) => [`${step} started`, `${step} healthy`]));
    expect(events.at(-1)).toMatchObject({ event: 'done', ok: true, seconds: expect.any(Number) });
    for (const event of events)
      if (event.event === 'step' && event.state === 'healthy') expect(event.seconds).toBeGreaterThan(0);
  });

  test('a step waits between its start and its end, and only one that rests on an early one changes anything before', () => {
    const started = new Set<string>();
    let current: string | undefined;
    for (const event of runEvents(first.stdout)) {
      if (event.event === 'step') {
        current = event.state === 'started' ? event.step : undefined;
        started.add(event.step);
      }
      if (event.event === 'waiting') expect(event.step).toBe(current);
      // Importing images goes on while later steps begin.
      if ('step' in event && event.step !== 'containerd') expect(started).toContain(event.step);
    }
  });

  test('the Node is Ready, for kubectl as it is typed', async () => {
    const nodes = await sh(vm, 'kubectl get nodes --no-headers');
    expect(nodes.split('\n')).toHaveLength(1);
    expect(nodes).toMatch(/^kubernetes\s+Ready\s/);
  });

  test('a Pod that a person starts runs, and what the smoke test made goes away', async () => {
    await until(vm, '! kubectl get namespace hardway-smoke');
    await sh(vm, `kubectl create deployment hello --image=${imageReference('agnhost')} -- /agnhost pause`);
    await sh(vm, 'kubectl rollout status deployment hello --timeout=120s');
    await sh(vm, 'kubectl delete deployment hello');
  });

  test('only root can read keys and kubeconfigs', async () => {
    const keys = await sh(
      vm,
      `stat -c '%a %U' /var/lib/hardway/certs/*-key.pem /var/lib/hardway/kubeconfigs/* ~/.kube/config`,
    );
    expect(new Set(keys.split('\n'))).toEqual(new Set(['600 root']));
    expect(await sh(vm, `stat -c %a /var/lib/hardway`)).toBe('711');
    const readable = await sh(
      vm,
      `grep -rlF 'PRIVATE KEY' /var/lib/hardway /etc /root | xargs stat -c '%a %n' | grep -v ^600 || :`,
    );
    expect(readable).toBe('');
  });

  test('no key and no word of a Secret is in a log, a list of processes, the ledger or the state', async () => {
    const secrets = `{ for f in /var/lib/hardway/certs/*-key.pem; do sed -n 3p $f; done; sed -n 's/.*secret: //p' /var/lib/hardway/config/encryption.yaml; printf 'PRIVATE %s\n' KEY; }`;
    await sh(
      vm,
      `${secrets} >/tmp/secrets; journalctl -o cat --no-pager >/tmp/journal; cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' >/tmp/argv`,
    );
    expect(Number(await sh(vm, 'wc -l </tmp/secrets'))).toBeGreaterThan(15);
    const found = await sh(
      vm,
      'grep -rlF -f /tmp/secrets /tmp/journal /tmp/argv /var/lib/hardway/ledger.jsonl /var/lib/hardway/state.json /var/lib/hardway/audit /etc/systemd || :',
    );
    expect(found).toBe('');
    expect(Number(await sh(vm, 'wc -l </tmp/journal'))).toBeGreaterThan(100);
  });

  test('nothing listens beyond loopback but the API server and, on the address of the node, the kubelet', async () => {
    const sockets = (await sh(vm, 'ss -Hltn')).split('\n').map((line) => line.trim().split(/\s+/)[3] ?? '');
    const open = sockets.filter((socket) => !socket.startsWith('127.0.0.1:') && !socket.startsWith('[::1]:'));
    expect(open.sort()).toEqual(['*:6443', '10.240.0.10:10250']);
  });

  test('a stranger gets nothing from the API server, the kubelet or etcd', async () => {
    const status = (url: string): Promise<string> => sh(vm, `curl -sk -o /dev/null -w '%{http_code}' ${url} || :`);
    expect(await status('https://127.0.0.1:6443/api/v1/secrets')).toMatch(/^40[13]$/);
    expect(await status('https://10.240.0.10:10250/pods')).toBe('401');
    expect(await status('https://127.0.0.1:2379/health')).toBe('000');
  });
});

describe('a second up', () => {
  const touched = (): Promise<string> =>
    sh(
      vm,
      `sha256sum /var/lib/hardway/ledger.jsonl /var/lib/hardway/state.json
       systemctl show -p Id,ExecMainPID,ActiveEnterTimestampMonotonic ${components.join(' ')}
       find /etc /opt/cni /usr/local/bin /root /var/lib/hardway -path /var/lib/hardway/etcd -prune -o -path /var/lib/hardway/audit -prune -o -printf '%p %m %s %T@\\n' | sort`,
    );

  test('finds everything healthy and touches nothing', async () => {
    const before = await touched();
    const second = await up(vm, '--json');
    succeeded(second);
    expect(second.stderr).toBe('');
    const events = runEvents(second.stdout);
    expect(story(events)).toEqual(stepIds.map((step) => `${step} skipped`));
    expect(events.map(({ event }) => event)).not.toContain('change');
    expect(await touched()).toBe(before);
  });

  test('refuses what cannot change under a cluster, naming what there is', async () => {
    await sh(vm, 'echo "podCIDR: 10.201.0.0/16" >/etc/hardway.yaml');
    const ran = await up(vm).finally(() => sh(vm, 'rm /etc/hardway.yaml'));
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('10.200.0.0/16');
    expect(ran.stderr).toContain('10.201.0.0/16');
    expect(ran.stderr).toContain('hardway reset');
  });
});

describe('a component that is one file, a row in the order, a certificate and two lessons', () => {
  /** hardway of a copy of the project that has it. */
  const other = (...args: readonly string[]) => execInVm(vm, ['/var/tmp/other/bin/hardway', ...args]);

  beforeAll(async () => {
    await sh(
      vm,
      `project=$(dirname "$(dirname "$(readlink -f "$(command -v hardway)")")")
       mkdir /var/tmp/other
       cd "$project"
       cp -rp bin lib steps certs-templates lessons manifests package.json package-lock.json /var/tmp/other
       ln -s "$project/node_modules" /var/tmp/other/node_modules`,
    );
    for (const [file, input] of Object.entries(await componentFiles()))
      succeeded(await execInVm(vm, ['sh', '-c', 'cat >"/var/tmp/other/$0"', file], { input }));
  });

  test('comes up, is healthy, is observed, and is in the script by hand', async () => {
    const ran = await other('next', '--json');
    succeeded(ran);
    expect(story(runEvents(ran.stdout)).slice(-3)).toEqual(['greeter started', 'greeter healthy', 'greeter observed']);
    expect(await sh(vm, 'curl -sS --cacert /var/lib/hardway/certs/ca.pem https://127.0.0.1:10299/')).toBe('hello');
    expect(succeeded(await other('status', '--json')).stdout).toMatch(/"step":"greeter","healthy":true,.*"since"/);
    const { stdout } = succeeded(await other('transcript', '--format', 'sh'));
    expect(stdout).toContain('# ---- greeter');
    expect(stdout).toContain('waits curl -fsS --cacert');
  });

  test('goes back and leaves nothing of itself, while the rest stays healthy', async () => {
    succeeded(await other('back', '--yes'));
    expect(await sh(vm, 'ls /etc/systemd/system /var/lib/hardway/bin | grep greeter || echo none')).toBe('none');
    expect(await sh(vm, 'systemctl is-active greeter || true; ss -Hltn sport = :10299')).toBe('inactive');
    succeeded(await other('check'));
  });
});
