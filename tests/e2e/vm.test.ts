import { existsSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { binaryPath } from '../../lib/binaries/cache.ts';
import { productOf } from '../../lib/binaries/versions.ts';
import { architectures } from '../../lib/engine/lab.ts';
import { paths } from '../../lib/host/paths.ts';
import { person } from '../../lib/host/person.ts';
import { type Ran, run, tryRun } from '../../lib/host/run.ts';
import { apiPortOf, createVm, deleteVm, execInVm, findVm, listVms, powerCut, type Vm } from '../../lib/vm/vm.ts';
import { nothing, traces } from './traces.ts';

/** Named, so that no archive is asked which there are. */
const suite = 'bookworm';

/** The network namespace of the container, by its inode: other VMs on this machine have theirs. */
const namespaceOf = (vm: Vm): string =>
  readlinkSync(`/proc/${readFileSync(`${vm.folder}/nspawn.pid`, 'utf8').trim()}/ns/net`).replace(/\D/g, '');

const gone = async (name: string, namespace?: string) => {
  expect(traces(name)).toEqual(nothing);
  const { stdout } = await tryRun('lsns', ['--noheadings', '--type', 'net', '--output', 'NS']);
  expect(stdout.split(/\s+/)).not.toContain(namespace);
};

const inside = async (vm: Vm, script: string): Promise<string> => (await execInVm(vm, ['sh', '-c', script])).stdout;
const bootId = (vm: Vm): Promise<string> => inside(vm, 'stat -c %Y /proc/1; cat /proc/sys/kernel/random/boot_id');

describe('a container VM', () => {
  const name = 'e2e-container';
  let vm: Vm;
  const create = () => createVm({ name, kind: 'container', suite });

  beforeAll(async () => {
    if (existsSync(`${paths.vms}/${name}`)) await deleteVm(name);
    vm = await create();
  });
  afterAll(async () => {
    if (existsSync(`${paths.vms}/${name}`)) await deleteVm(name);
  });

  test('has systemd up, an address, a default route and a name that resolves', async () => {
    expect(await inside(vm, 'systemctl is-system-running')).toBe('running');
    expect(await inside(vm, 'ip -4 -o address show eth0')).toContain('10.240.0.10/24');
    expect(await inside(vm, 'ip route show default')).toContain('dev eth0');
    expect(await inside(vm, 'getent hosts "$(hostname)"')).toMatch(/^10\.240\.0\.10\s+kubernetes$/);
  });

  test('has no way out', async () => {
    expect(await inside(vm, 'grep -c ^nameserver /etc/resolv.conf')).toBe('0');
    expect(await inside(vm, 'ip -o link | wc -l')).toBe('3');
    expect(await inside(vm, 'ping -c 1 -W 1 10.240.0.1 >/dev/null && echo out || echo shut')).toBe('shut');
  });

  test('has the project read-only, the cache, and hardway on its PATH', async () => {
    expect(await inside(vm, 'touch /opt/hardway/x 2>&1')).toContain('Read-only');
    expect(await inside(vm, 'readlink -f "$(command -v hardway)"')).toBe('/opt/hardway/bin/hardway');
    expect((await execInVm(vm, ['hardway', '--version'])).code).toBe(0);
  });

  test('has a settings file by hardway init, which writes over none; up reads it, and a reset leaves it', async () => {
    expect((await execInVm(vm, ['hardway', 'init'])).code).toBe(0);
    expect(await inside(vm, 'stat -c "%a %U" /etc/hardway.yaml')).toBe('644 root');
    await inside(vm, "sed -i 's|^# podCIDR: .*|podCIDR: 10.77.0.0/16|' /etc/hardway.yaml");
    expect(await execInVm(vm, ['hardway', 'init'])).toMatchObject({ code: 2 });
    expect((await execInVm(vm, ['hardway', 'up', '--to', 'preflight'])).code).toBe(0);
    expect(await inside(vm, 'grep -o 10.77.0.0/16 /var/lib/hardway/state.json')).toBe('10.77.0.0/16');
    await inside(vm, 'rm /etc/hardway.yaml; hardway init');
    const reset = await execInVm(vm, ['hardway', 'reset', '--yes']);
    expect(reset.stdout, reset.stderr).toContain('the host is as it was before');
    await inside(vm, 'rm /etc/hardway.yaml');
  });

  test('gets hardway on its PATH by an up where it was not there, and has none after the reset', async () => {
    const launcher = '/opt/hardway/bin/hardway';
    await inside(vm, 'rm /usr/local/bin/hardway');
    const up = await execInVm(vm, [launcher, 'up', '--cni', 'bridge', '--to', 'binaries']);
    expect(up.code, up.stderr).toBe(0);
    expect(up.stdout).toContain('next: hardway up goes on; hardway status shows what runs');
    expect(await inside(vm, 'readlink /usr/local/bin/hardway')).toBe(launcher);
    const reset = await execInVm(vm, ['hardway', 'reset', '--yes']);
    expect(reset.stdout, reset.stderr).toContain('the host is as it was before');
    expect(await inside(vm, 'command -v hardway || echo none')).toBe('none');
    expect((await execInVm(vm, [launcher, 'status'])).stderr).toContain(`next: ${launcher} up`);
    await inside(vm, `ln -s ${launcher} /usr/local/bin/hardway`);
  });

  test('does not see the trees that the VMs are made of', async () => {
    expect(await inside(vm, 'ls -A /var/cache/hardway/vm')).toBe('');
  });

  test('writes to a cache of its own: what root here runs stays as it is', async () => {
    const [first = ''] = await readdir(`${paths.cache}/images/${architectures[process.arch]}`);
    const image = `${paths.cache}/images/${architectures[process.arch]}/${first}`;
    const before = await stat(image);
    await inside(vm, `echo changed >${image}; echo evil >/var/cache/hardway/node/evil; cat ${image}`);
    expect(await stat(image)).toMatchObject({ size: before.size, mtimeMs: before.mtimeMs, ino: before.ino });
    expect(existsSync(`${paths.cache}/node/evil`)).toBe(false);
  });

  test('changes no kernel parameter of this machine, not even those that a kubelet sets', async () => {
    const names = ['kernel/panic', 'vm/overcommit_memory', 'kernel/pid_max', 'fs/file-max'];
    const here = () => Promise.all(names.map((parameter) => readFile(`/proc/sys/${parameter}`, 'utf8')));
    const before = await here();
    expect(await inside(vm, 'sysctl -qw kernel.panic=77 vm.overcommit_memory=2; sysctl -n kernel.panic')).toBe('77');
    for (const name of ['kernel.pid_max=77777', 'fs.file-max=77777'])
      expect(await inside(vm, `sysctl -qw ${name} 2>&1 || :`)).toContain('denied');
    expect(await inside(vm, 'sysctl -qw net.ipv4.ip_forward=1; sysctl -n net.ipv4.ip_forward')).toBe('1');
    expect(await here()).toEqual(before);
  });

  test('passes exit codes, awkward words, standard input and environment', async () => {
    expect((await execInVm(vm, ['sh', '-c', 'exit 7'])).code).toBe(7);
    const words = ['two words', "it's", '$HOME', '', '*'];
    expect((await execInVm(vm, ['printf', '%s|', ...words])).stdout).toBe(`${words.join('|')}|`);
    expect((await execInVm(vm, ['printf', '%s|', ...words], { tty: true })).stdout).toBe(`${words.join('|')}|`);
    expect((await execInVm(vm, ['cat'], { input: 'in' })).stdout).toBe('in');
    expect((await execInVm(vm, ['sh', '-c', 'echo $A'], { env: { A: 'b c' } })).stdout).toBe('b c');
  });

  test('gives a command a terminal of its own when asked', async () => {
    expect((await execInVm(vm, ['tty'])).code).toBe(1);
    expect((await execInVm(vm, ['tty'], { tty: true })).stdout).toMatch(/^\/dev\/pts\/\d+/);
  });

  test('runs commands in its own cgroups', async () => {
    expect(await inside(vm, 'cat /proc/self/cgroup')).not.toContain('..');
  });

  test('comes back by itself after a reboot inside, with its network and its files', async () => {
    await inside(vm, 'echo kept >/root/kept; iptables -N LEFTOVER');
    const first = await bootId(vm);
    await inside(vm, 'systemctl reboot');
    await expect.poll(() => bootId(vm).catch(() => first), { timeout: 30_000 }).not.toBe(first);
    await expect.poll(() => inside(vm, 'systemctl is-system-running'), { timeout: 30_000 }).toBe('running');
    expect(await inside(vm, 'cat /root/kept; ip -4 -o address show eth0')).toMatch(/^kept\n.*10\.240\.0\.10/);
    expect(await inside(vm, 'iptables -S')).not.toContain('LEFTOVER');
  });

  const program = join(import.meta.dirname, '../../bin/cli.ts');
  /** Runs `hardway vm` on this machine. */
  const onHost = (...words: readonly string[]): Promise<Ran> => run(process.execPath, [program, 'vm', ...words]);
  const kubeconfig = async (): Promise<string> => `${(await person()).home}/.kube/hardway-${name}.yaml`;

  /** Asks the cluster inside from this machine, as any program that is given the kubeconfig does. */
  const fromHost = async (...words: readonly string[]): Promise<string> => {
    const { name: product, product: found } = productOf('kubectl');
    const kubectl = binaryPath(paths.cache, architectures[process.arch] ?? 'amd64', product, found.version, 'kubectl');
    const flags = ['--kubeconfig', await kubeconfig(), '--cache-dir', '/nonexistent', '--request-timeout=5s'];
    const { stdout, stderr } = await tryRun(kubectl, [...flags, ...words]);
    return `${stdout}${stderr}`;
  };

  test('shows its cluster to programs of this machine, on loopback only, by a kubeconfig of the person', async () => {
    await expect(onHost('kubeconfig', name)).rejects.toThrow('There is no cluster');
    const up = await execInVm(vm, ['hardway', 'up', '--cni', 'bridge', '--to', 'kube-apiserver']);
    expect(up.code, up.stderr).toBe(0);
    expect((await onHost('kubeconfig', name)).stdout).toBe(`export KUBECONFIG=${await kubeconfig()}`);
    const { mode, uid } = statSync(await kubeconfig());
    expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o600, uid: (await person()).owner.uid });
    expect(await fromHost('get', '--raw', '/readyz')).toBe('ok');
    expect(await fromHost('config', 'current-context')).toBe(`${name}-admin@${name}`);
    const port = ((await apiPortOf(vm)) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    const listening = readFileSync('/proc/net/tcp', 'utf8').match(new RegExp(`^ *\\d+: \\w+:${port} 0+:0000 0A`, 'gm'));
    expect(listening?.map((line) => line.trim().split(/[ :]+/)[1])).toEqual(['0100007F']);
  });

  test('is stopped and started with its cluster, which the same kubeconfig leads to again', async () => {
    await onHost('stop', name);
    expect(traces(name)).toMatchObject({ folder: true, processes: [], cgroups: [], mounts: [] });
    expect((await onHost('list')).stdout).toMatch(new RegExp(`^${name} +container +${suite} +stopped$`, 'm'));
    expect(await fromHost('get', '--raw', '/readyz')).toContain('refused');
    await expect(execInVm(vm, ['true'])).rejects.toThrow('not running');
    await onHost('start', name);
    expect((await onHost('list')).stdout).toMatch(new RegExp(`^${name} +container +${suite} +running$`, 'm'));
    await expect.poll(() => fromHost('get', '--raw', '/readyz'), { timeout: 60_000 }).toBe('ok');
    expect(await inside(vm, 'hardway check kube-apiserver')).not.toContain('FAIL');
    expect(await inside(vm, 'cat /root/kept')).toBe('kept');
  });

  test('survives a power cut', async () => {
    await powerCut(vm);
    expect(traces(name)).toMatchObject({ processes: [], cgroups: [], mounts: [] });
    await create();
    expect(await inside(vm, 'cat /root/kept')).toBe('kept');
  });

  test('is not made twice, and not over one of another kind', async () => {
    await create();
    await expect(createVm({ name, kind: 'qemu' })).rejects.toThrow('already');
  });

  test('leaves nothing when it is deleted while it runs', async () => {
    const namespace = namespaceOf(vm);
    await onHost('delete', name);
    await gone(name, namespace);
    expect(existsSync(await kubeconfig())).toBe(false);
    expect(await findVm(name)).toBeUndefined();
    await expect(deleteVm(name)).rejects.toThrow(`no VM named '${name}'`);
  });

  test.each(['keeper', 'nspawn'])('leaves nothing when it is deleted after its %s was killed', async (which) => {
    vm = await create();
    const namespace = namespaceOf(vm);
    const { process: keeper } = JSON.parse(readFileSync(`${vm.folder}/vm.json`, 'utf8'));
    const nspawn = Number(readFileSync(`${vm.folder}/nspawn.pid`, 'utf8'));
    process.kill(which === 'keeper' ? keeper.pid : nspawn, 'SIGKILL');
    await sleep(200);
    await deleteVm(name);
    await gone(name, namespace);
  });

  test('whose creation was cut short is listed as broken, not used, and can be deleted', async () => {
    await mkdir(`${paths.vms}/${name}/upper`, { recursive: true });
    expect((await listVms()).find((one) => one.name === name)?.state).toBe('broken');
    await expect(create()).rejects.toThrow('broken');
    await deleteVm(name);
    await gone(name);
  });
});
