import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '../engine/errors.ts';
import { cgroupTree, processesIn } from '../host/cgroups.ts';

const top = '/sys/fs/cgroup';

/**
 * Returns the folders below which a VM gets its cgroups. Version 2 gives the children of a login's cgroup no
 * controllers, because that has processes, and it ends with the login: where systemd runs, the VM gets its own at the
 * top, which systemd leaves alone.
 */
const parents = (): string[] => {
  if (!existsSync(`${top}/cgroup.controllers`) || !existsSync('/run/systemd/system')) return own();
  for (const controller of ['cpuset', 'cpu', 'io', 'memory', 'pids']) {
    try {
      writeFileSync(`${top}/cgroup.subtree_control`, `+${controller}`);
    } catch {
      // The kernel lacks the controller; preflight inside the VM names the one that is missing.
    }
  }
  return [top];
};

/** Returns the folders of the cgroups of this process, one a hierarchy (cgroups(7), /proc/PID/cgroup). */
const own = (): string[] =>
  readFileSync('/proc/self/cgroup', 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [, controllers = '', path = '/'] = line.match(/^\d+:([^:]*):(.*)$/) ?? [];
      const unified = existsSync(`${top}/unified`) ? `${top}/unified` : top;
      const mount = controllers === '' ? unified : `${top}/${controllers.replace(/^name=/, '')}`;
      return `${mount}${path === '/' ? '' : path}`;
    })
    .filter((folder) => existsSync(`${folder}/cgroup.procs`));

/**
 * Makes a cgroup for the VM in every hierarchy and returns their folders. Every process that the VM starts stays in
 * them, so it can be found and ended.
 */
export const makeCgroups = (name: string): string[] =>
  parents().map((parent) => {
    const folder = `${parent}/hardway-vm-${name}`;
    mkdirSync(folder, { recursive: true });
    // A new cpuset of cgroup v1 has no processor and no memory, and accepts no process until it has.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (!existsSync(`${parent}/cgroup.controllers`) && existsSync(`${parent}/${file}`)) {
        writeFileSync(`${folder}/${file}`, readFileSync(`${parent}/${file}`));
      }
    }
    return folder;
  });

/** Kills every process in those cgroups (SIGKILL) and removes them. Throws when one is still busy after 10 seconds. */
export const removeCgroups = async (folders: readonly string[]): Promise<void> => {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      for (const folder of folders.filter(existsSync).flatMap(cgroupTree)) {
        for (const pid of processesIn([folder])) if (pid !== process.pid) process.kill(pid, 'SIGKILL');
        rmdirSync(folder);
      }
      return;
    } catch (error) {
      // The processes take a moment to end.
      if (Date.now() > deadline) throw new Error(`cgroups of the VM cannot be removed: ${reasonOf(error)}`);
      await sleep(50);
    }
  }
};
