import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '../engine/errors.ts';

const top = '/sys/fs/cgroup';

/**
 * A login's cgroup has processes, so version 2 gives its children no controllers, and it ends with the login: where
 * systemd rules, the VM gets its own at the top, which systemd leaves alone.
 */
const parents = (): string[] => {
  if (!existsSync(`${top}/cgroup.controllers`) || !existsSync('/run/systemd/system')) return own();
  for (const controller of ['cpuset', 'cpu', 'io', 'memory', 'pids']) {
    try {
      writeFileSync(`${top}/cgroup.subtree_control`, `+${controller}`);
    } catch {
      // A controller that this kernel does not have: preflight inside names the one that is missed.
    }
  }
  return [top];
};

/** The folders of the cgroups that this process is in, one a hierarchy (cgroups(7), /proc/PID/cgroup). */
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
 * Makes a cgroup for the VM in every hierarchy, so that all that it starts, whatever it does, is found
 * and can be removed again. Returns their folders.
 */
export const makeCgroups = (name: string): string[] =>
  parents().map((parent) => {
    const folder = `${parent}/hardway-vm-${name}`;
    mkdirSync(folder, { recursive: true });
    // A new cpuset of cgroup v1 has no processor and no memory, and takes no process before it has.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (!existsSync(`${parent}/cgroup.controllers`) && existsSync(`${parent}/${file}`)) {
        writeFileSync(`${folder}/${file}`, readFileSync(`${parent}/${file}`));
      }
    }
    return folder;
  });

/** A cgroup and all below it, the deepest first. */
const withChildren = (folder: string): string[] => {
  if (!existsSync(folder)) return [];
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...below.flatMap((entry) => withChildren(`${folder}/${entry.name}`)), folder];
};

const pidsIn = (folder: string): number[] =>
  readFileSync(`${folder}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number);

/** Ends every process in those cgroups with SIGKILL and removes them. Throws when one is still busy after 10 seconds. */
export const removeCgroups = async (folders: readonly string[]): Promise<void> => {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      for (const folder of folders.flatMap(withChildren)) {
        for (const pid of pidsIn(folder)) if (pid !== process.pid) process.kill(pid, 'SIGKILL');
        rmdirSync(folder);
      }
      return;
    } catch (error) {
      // The processes take a moment to go; one that is gone already is what we want.
      if (Date.now() > deadline) throw new Error(`cgroups of the VM cannot be removed: ${reasonOf(error)}`);
      await sleep(50);
    }
  }
};
