import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { paths } from '../host/paths.ts';
import { childrenOf, identify, isAlive, type ProcessId, signalProcess, waitForEnd } from '../host/proc.ts';
import { quoted, tryRun } from '../host/run.ts';
import { makeCgroups, removeCgroups } from './cgroups.ts';
import type { VmDriver } from './driver.ts';
import { guestFiles, inside, ownParameters, writableCgroups, writeGuestFiles } from './guest.ts';
import { ensureNode, install, needInotify } from './needs.ts';
import { freePort } from './port.ts';
import { folderOf, type VmRecord, writeRecord } from './record.ts';
import { cachedTree } from './tree.ts';

const project = resolve(import.meta.dirname, '../..');
const script = `${import.meta.dirname}/container.sh`;
const isV1 = (): boolean => !existsSync('/sys/fs/cgroup/cgroup.controllers');

/** Returns the systemd-nspawn process of a running VM. The script that started it has written its pid down. */
const nspawnOf = async ({ name, process: keeper }: VmRecord): Promise<ProcessId | undefined> => {
  if (!keeper || !isAlive(keeper)) return undefined;
  const pid = Number(await readFile(`${folderOf(name)}/nspawn.pid`, 'utf8').catch(() => ''));
  return childrenOf(keeper.pid).includes(pid) ? identify(pid) : undefined;
};

/** Returns the process of the VM's own systemd, as this machine sees it. */
const initOf = async (record: VmRecord): Promise<ProcessId | undefined> => {
  const nspawn = await nspawnOf(record);
  const child = nspawn && childrenOf(nspawn.pid)[0];
  return child === undefined ? undefined : identify(child);
};

/**
 * Folder of the code that Node compiled inside VMs, which makes each further one start faster. This machine runs none of
 * it.
 */
const compiled = `${paths.cache}/vm/compiled`;

const bindArgs = (folder: string): string[] => {
  const modules = '/lib/modules';
  return [
    `--bind-ro=${project}:${inside.project}`,
    `--bind=${folder}/cache/root:${inside.cache}`,
    `--bind=${compiled}:${inside.cache}/compiled`,
    `--tmpfs=${inside.cache}/vm:mode=0700,size=4k`,
    // An overlay cannot lie on an overlay, so containerd gets a folder of the real disk.
    `--bind=${folder}/containerd:/var/lib/containerd`,
    ...['/dev/kmsg', '/dev/net/tun'].filter(existsSync).map((device) => `--bind=${device}`),
    ...(existsSync(modules) ? [`--bind-ro=${modules}`] : []),
  ];
};

/**
 * Driver of VMs that are systemd-nspawn containers: this machine's kernel, everything else their own. They boot in half
 * a second.
 */
export const container: VmDriver = {
  prepare: async ({ net, ...options }) => {
    await install(['systemd-nspawn', 'ip', ...(net ? (['slirp4netns'] as const) : [])], options);
    await ensureNode(options);
    return cachedTree(options);
  },

  create: async ({ name, net, flavour }) => {
    const folder = folderOf(name);
    const parts = ['root', 'upper', 'work', 'cache/root', 'cache/upper', 'cache/work', 'containerd'];
    for (const part of parts) await mkdir(`${folder}/${part}`, { recursive: true });
    const files = [
      ...guestFiles(flavour, net ? '10.240.0.3' : undefined),
      ...ownParameters,
      ...(isV1() ? writableCgroups : []),
    ];
    await writeGuestFiles(`${folder}/upper`, files);
  },

  boot: async (record) => {
    await needInotify();
    const folder = folderOf(record.name);
    await removeCgroups(record.cgroups);
    await rm(`${folder}/nspawn.pid`, { force: true });
    const apiPort = await freePort(record.apiPort);
    const planned = { ...record, apiPort, cgroups: makeCgroups(record.name) };
    await writeFile(`${folder}/cgroups`, planned.cgroups.map((cgroup) => `${cgroup}\n`).join(''));
    await writeRecord(planned);
    const log = await open(`${folder}/console.log`, 'a', 0o600);
    try {
      await mkdir(compiled, { recursive: true });
      const way = [record.base, paths.cache, record.net ? 'net' : 'no-net', String(apiPort)];
      const args = [script, 'run', folder, ...way, ...bindArgs(folder)];
      // The VM gets a session of its own, so that Ctrl-C on this terminal does not reach it.
      const keeper = spawn('sh', args, { detached: true, stdio: ['ignore', log.fd, log.fd] });
      keeper.unref();
      const id = keeper.pid === undefined ? undefined : identify(keeper.pid);
      if (!id) throw new Error('sh, which should keep the VM, did not start');
      return await writeRecord({ ...planned, process: id });
    } finally {
      await log.close();
    }
  },

  command: async (record, words, tty) => {
    const init = await initOf(record);
    if (!init) return undefined;
    // nsenter keeps this machine's terminal, which has no name in the VM; script opens one of the VM's.
    const inner = tty ? ['script', '-qefc', quoted(words), '/dev/null'] : words;
    return ['sh', script, 'enter', String(init.pid), ...inner];
  },

  powerOff: async (record) => {
    const init = await initOf(record);
    // SIGRTMIN+4 tells systemd to power off (systemd(1)); Node has no name for it.
    if (init) await tryRun('kill', ['-s', 'RTMIN+4', String(init.pid)]);
  },

  kill: async (record) => {
    const ids = [record.process, await nspawnOf(record), await initOf(record)].filter((id) => id !== undefined);
    for (const id of ids) signalProcess(id, 'SIGKILL');
    await waitForEnd(ids, 10_000);
    await removeCgroups(record.cgroups);
  },

  clean: (record) => removeCgroups(record.cgroups),
};
