import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { identify, isAlive, signalProcess, waitForEnd } from '../host/proc.ts';
import { quoted, run, tryRun } from '../host/run.ts';
import type { VmDriver } from './driver.ts';
import { type GuestFile, guestFiles, inside } from './guest.ts';
import { cachedImage, makeDataDisk } from './image.ts';
import { ensureNode, install } from './needs.ts';
import { freePort } from './port.ts';
import { type Flavour, folderOf, type VmRecord, writeRecord } from './record.ts';
import { cachedTree } from './tree.ts';

const platform =
  process.arch === 'arm64'
    ? ({ program: 'qemu-system-aarch64', machine: 'virt', console: 'ttyAMA0' } as const)
    : ({ program: 'qemu-system-x86_64', machine: 'q35', console: 'ttyS0' } as const);

const gateway = '10.240.0.1';
const nameserver = '10.240.0.3';
/** Mount point of the data disk inside the VM. */
const data = '/opt/.hardway';

/** Further files on the disk of a VM with a kernel of its own. */
const ownKernelFiles: readonly GuestFile[] = [
  {
    path: '/etc/fstab',
    text: [
      `LABEL=hardway-data ${data} ext4 defaults 0 0`,
      `${data}/project ${inside.project} none bind,ro,x-systemd.requires-mounts-for=${data} 0 0`,
      `${data}/cache ${inside.cache} none bind,x-systemd.requires-mounts-for=${data} 0 0`,
      '',
    ].join('\n'),
  },
  {
    path: '/etc/systemd/network/10-eth0.network',
    text: `[Match]\nName=eth0\n[Network]\nAddress=${inside.address}/24\nGateway=${gateway}\nIPv6AcceptRA=no\n`,
  },
  {
    path: '/etc/systemd/system/multi-user.target.wants/systemd-networkd.service',
    link: '/lib/systemd/system/systemd-networkd.service',
  },
  // The ssh keys are the VM's own and come with its data disk.
  {
    path: '/etc/ssh/sshd_config.d/hardway.conf',
    text: `AuthorizedKeysFile ${data}/seed/authorized_keys\nHostKey ${data}/seed/host_key\nPasswordAuthentication no\nUseDNS no\n`,
  },
  { path: '/etc/systemd/system/ssh.service.d/hardway.conf', text: `[Unit]\nRequiresMountsFor=${data}\n` },
];

const filesFor = (net: boolean, flavour: Flavour): GuestFile[] => [
  ...guestFiles(flavour, net ? nameserver : undefined),
  ...ownKernelFiles,
  ...(net && flavour === 'ubuntu-like'
    ? [{ path: '/etc/systemd/resolved.conf.d/hardway.conf', text: `[Resolve]\nDNS=${nameserver}\n` }]
    : []),
];

/**
 * Tells whether the processor can run a VM. /dev/kvm alone does not prove it: some clouds offer one that emulates in
 * software, and a guest kernel soon meets an instruction that it does not know.
 */
const hasKvm = (): boolean => {
  if (!existsSync('/dev/kvm')) return false;
  return process.arch === 'arm64' || /^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'));
};

/** Returns the memory of a VM in megabytes: half of the machine's, from 2 to 6 GB. */
const memory = (): number => Math.min(6144, Math.max(2048, Math.floor(totalmem() / 2 ** 21)));

const qemuArgs = ({ name, net, port, apiPort }: VmRecord): string[] => {
  const folder = folderOf(name);
  const drive = (file: string) => ['-drive', `file=${folder}/${file},format=raw,if=virtio,cache=unsafe,discard=unmap`];
  return [
    ...['-name', `hardway-${name}`, '-machine', platform.machine, '-cpu', 'max'],
    ...(hasKvm() ? ['-accel', 'kvm'] : []),
    ...['-accel', 'tcg,thread=multi,tb-size=1024'],
    ...['-smp', String(Math.min(4, Math.max(2, availableParallelism()))), '-m', `${memory()}M`],
    ...['-display', 'none', '-monitor', 'none', '-nodefaults', '-device', 'virtio-rng-pci'],
    ...['-chardev', `file,id=console,path=${folder}/console.log,append=on`, '-serial', 'chardev:console'],
    ...['-kernel', `${folder}/kernel`, '-initrd', `${folder}/initrd`],
    // A getty on the serial line would mix with the console log.
    '-append',
    `root=LABEL=hardway-root rw console=${platform.console} net.ifnames=0 quiet panic=5 systemd.mask=serial-getty@${platform.console}.service`,
    ...drive('root.img'),
    ...drive('data.img'),
    '-nic',
    [
      'user,model=virtio-net-pci,ipv6=off,net=10.240.0.0/24',
      `host=${gateway}`,
      `dns=${nameserver}`,
      `restrict=${net ? 'off' : 'on'}`,
      `hostfwd=tcp:127.0.0.1:${port}-${inside.address}:22`,
      `hostfwd=tcp:127.0.0.1:${apiPort}-${inside.address}:6443`,
    ].join(','),
  ];
};

/**
 * Driver of VMs with a kernel of their own: cgroup v2, modules, reboots. Where the machine has no KVM they are
 * emulated, ten times slower.
 */
export const qemu: VmDriver = {
  prepare: async ({ net, ...options }) => {
    await install([platform.program, 'mke2fs', 'ssh'], options);
    await ensureNode(options);
    const tree = await cachedTree(options);
    return cachedImage(tree, filesFor(net, options.flavour), options);
  },

  create: async ({ name, base }, signal) => {
    const folder = folderOf(name);
    for (const file of ['kernel', 'initrd', 'root.img']) {
      await run('cp', ['--sparse=always', '--reflink=auto', `${base}/${file}`, `${folder}/${file}`], {
        timeout: 600_000,
        signal,
      });
    }
    await mkdir(`${folder}/seed`, { mode: 0o700 });
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', `${folder}/key`]);
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', `${folder}/seed/host_key`]);
    await run('cp', [`${folder}/key.pub`, `${folder}/seed/authorized_keys`]);
    await writeFile(`${folder}/known_hosts`, `hardway-vm ${await readFile(`${folder}/seed/host_key.pub`, 'utf8')}`);
  },

  boot: async (record, signal) => {
    const folder = folderOf(record.name);
    await makeDataDisk(folder, signal);
    const planned = { ...record, port: await freePort(), apiPort: await freePort(record.apiPort) };
    const log = await open(`${folder}/qemu.log`, 'a', 0o600);
    try {
      const child = spawn(platform.program, qemuArgs(planned), { detached: true, stdio: ['ignore', log.fd, log.fd] });
      child.once('error', () => {});
      child.unref();
      const id = child.pid === undefined ? undefined : identify(child.pid);
      if (!id) throw new Error(`${platform.program} did not start; see ${folder}/qemu.log`);
      return await writeRecord({ ...planned, process: id });
    } finally {
      await log.close();
    }
  },

  command: async ({ name, port, process: qemu }, words, tty) => {
    if (!qemu || !isAlive(qemu)) return undefined;
    const folder = folderOf(name);
    const settings = {
      IdentityFile: `${folder}/key`,
      IdentitiesOnly: 'yes',
      UserKnownHostsFile: `${folder}/known_hosts`,
      HostKeyAlias: 'hardway-vm',
      StrictHostKeyChecking: 'yes',
      BatchMode: 'yes',
      LogLevel: 'ERROR',
      ConnectTimeout: '10',
      Port: String(port),
    };
    const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    return ['ssh', '-F', 'none', ...options, tty ? '-tt' : '-T', 'root@127.0.0.1', quoted(words)];
  },

  powerOff: async (record) => {
    const command = await qemu.command(record, ['systemctl', 'poweroff'], false);
    if (command) await tryRun(command[0], command.slice(1), { timeout: 20_000 });
  },

  kill: async ({ process: qemu }) => {
    if (!qemu) return;
    signalProcess(qemu, 'SIGKILL');
    await waitForEnd([qemu], 10_000);
  },

  clean: async () => {},
};
