import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { components, runEvents, stepIds, story } from './events.ts';
import { dropVm, freshVm, hardway, listing, sh, succeeded, until, up } from './lib.ts';

const name = 'e2e-output';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
});
afterAll(() => dropVm(name));

const escapeCode = '\u001b';

/** The words at the start of each line that begins with one. */
const firstWords = (text: string): string[] => text.split('\n').flatMap((line) => /^\S+/.exec(line)?.[0] ?? []);

// In this order: each goes on from where the one before has left the VM.
describe('what one sees of a lab that grows', () => {
  test('a dry run lists every step and what it would change, and touches nothing', async () => {
    const before = await listing(vm);
    const ran = await up(vm, '--dry-run');
    succeeded(ran);
    expect(ran.stderr).toBe('');
    expect(firstWords(ran.stdout)).toEqual(stepIds);
    for (const words of [
      'write /etc/systemd/system/etcd.service',
      'systemctl enable --no-reload --now kubelet.service',
      'ca.pem',
    ])
      expect(ran.stdout).toContain(words);
    const changes = ran.stdout.split('\n').filter((line) => line.includes('make folder'));
    expect(new Set(changes).size).toBe(changes.length);
    expect(await listing(vm)).toBe(before);
    expect(await sh(vm, 'ls /run/hardway* 2>/dev/null || :')).toBe('');
  });

  test('--to stops after that step: plain lines where there is no terminal, and how to go on', async () => {
    const ran = await up(vm, '--to', 'etcd');
    succeeded(ran);
    expect(ran.stderr).toBe('');
    expect(ran.stdout).not.toContain(escapeCode);
    const until = stepIds.slice(0, stepIds.indexOf('etcd') + 1);
    const steps = ran.stdout.split('\n').filter((line) => / healthy +[\d.]+ s$/.test(line));
    expect(firstWords(steps.join('\n'))).toEqual(until);
    expect(ran.stdout).toContain('stopped after etcd');
    expect(ran.stdout).toContain('next: hardway up');
    expect(await sh(vm, 'systemctl is-active etcd kube-apiserver || :')).toBe('active\ninactive');
  });

  test('status and steps tell what is there and what is not yet', async () => {
    const rows = (await hardway(vm, ['steps', '--json'])).stdout.split('\n').map((line) => JSON.parse(line));
    expect(rows.map(({ step }) => step)).toEqual(stepIds);
    expect(rows.filter(({ appliedAt }) => appliedAt !== null)).toHaveLength(stepIds.indexOf('etcd') + 1);
    const status = await hardway(vm, ['status']);
    expect([status.code, status.stderr]).toEqual([
      1,
      expect.stringContaining('5 of 14 steps are taken, all of them healthy'),
    ]);
    expect(status.stdout).toMatch(/^etcd +healthy +active \(running\)/m);
    expect(status.stdout).toMatch(/^kubelet +not applied yet/m);
  });

  test('on a terminal of 80 by 24 the run is one list that fits it, and every step stands in it once', async () => {
    await sh(vm, `tmux new -d -s look -x 80 -y 24 'hardway up --cni bridge; tmux wait-for -S ended; exec sleep 1000'`);
    const screen = (): Promise<string> => sh(vm, 'tmux capture-pane -p -t look');
    await until(vm, 'tmux capture-pane -p -t look | grep -q kube-scheduler');
    const during = await screen();
    for (const title of components) expect(during.split(title).length - 1, during).toBeLessThanOrEqual(2);
    await sh(vm, 'tmux wait-for ended');
    const lines = (await screen()).trimEnd().split('\n');
    expect(await sh(vm, `tmux display -p -t look '#{history_size}'`)).toBe('0');
    for (const title of components) expect(lines.filter((line) => line.includes(` ${title}`))).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith('✔'))).toHaveLength(stepIds.length);
    expect(
      lines.some((line) => line.includes('/var/lib/hardway/kubeconfigs/admin.conf')),
      lines.join('\n'),
    ).toBe(true);
    expect(lines.at(-1)).toContain('hardway status');
  });

  test('up went on from there: nothing is left to do', async () => {
    const events = runEvents((await up(vm, '--json')).stdout);
    expect(story(events)).toEqual(stepIds.map((step) => `${step} skipped`));
  });
});

describe('looking at a lab', () => {
  test('status --json has a row a step, with the process of each component', async () => {
    const ran = await hardway(vm, ['status', '--json']);
    succeeded(ran);
    expect(ran.stderr).toBe('');
    const rows = ran.stdout.split('\n').map((line) => JSON.parse(line));
    expect(rows.map(({ step }) => step)).toEqual(stepIds);
    for (const row of rows) {
      expect(row).toMatchObject({ healthy: true });
      if (components.includes(row.step))
        expect(row).toMatchObject({ process: 'active (running)', since: expect.any(String) });
    }
  });

  test('check names every check and what it found', async () => {
    const ran = await hardway(vm, ['check']);
    succeeded(ran);
    expect(ran.stderr).toBe('');
    const lines = ran.stdout.split('\n');
    expect(new Set(lines.map((line) => line.split(/\s+/)[1]))).toEqual(new Set(stepIds));
    for (const line of lines) expect(line).toMatch(/^ok /);
  });

  test('logs shows the last lines that a component wrote', async () => {
    const ran = await hardway(vm, ['logs', 'etcd', '-n', '3']);
    expect(ran.code).toBe(0);
    expect(ran.stdout.split('\n')).toHaveLength(3);
    expect(ran.stdout).toContain('"level"');
  });

  test('kubectl -- is kubectl as admin, with its exit code and its flags', async () => {
    const ran = await hardway(vm, ['kubectl', '--', 'get', 'nodes', '-o', 'name']);
    expect(ran).toEqual({ code: 0, stdout: 'node/kubernetes', stderr: '' });
    const none = await hardway(vm, ['kubectl', '--', 'get', 'pod', 'nobody']);
    expect(none.code).toBe(1);
    expect(none.stderr).toContain('NotFound');
    expect((await hardway(vm, ['kubectl', '--', 'auth', 'can-i', '*', '*'])).stdout).toBe('yes');
  });

  test('shell knows the tools and the cluster, and ends as its last command did', async () => {
    const ran = await execInVm(vm, ['hardway', 'shell'], {
      input: 'kubectl get nodes -o name; etcdctl version | head -1; crictl version | head -1; exit 7\n',
    });
    expect(ran.stdout).toContain('node/kubernetes');
    expect(ran.stdout).toContain('etcdctl version');
    expect(ran.code).toBe(7);
  });

  test('a reader that goes away is no bug', async () => {
    const said = await sh(vm, 'hardway check 2>&1 | head -n 1');
    expect(said).toMatch(/^ok /);
    expect(
      await sh(vm, '{ hardway up --cni bridge --dry-run 2>&1 1>&3 | cat >/tmp/err; } 3>&1 | head -n 1; cat /tmp/err'),
    ).not.toContain('EPIPE');
  });
});
