import { readdirSync, readFileSync } from 'node:fs';
import { readIfThere } from './files.ts';

const mount = '/sys/fs/cgroup';

const foldersIn = (path: string): string[] => {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [`${path}/${entry.name}`] : [],
    );
  } catch {
    return []; // no such cgroup
  }
};

/** Controllers that a kubelet needs. */
const needed = ['cpu', 'memory', 'pids'];

/**
 * Finds the controllers that a kubelet needs and this kernel does not have. Version 2 lists its own; /proc/cgroups lists
 * those of version 1, since Linux 6.12 without the ones that have no version 1.
 */
export const missingControllers = async (): Promise<readonly string[]> => {
  const unified = await readIfThere(`${mount}/cgroup.controllers`);
  const rows = ((await readIfThere('/proc/cgroups')) ?? '').matchAll(/^([a-z]\w*)\s+\d+\s+\d+\s+1$/gm);
  const there = unified === undefined ? [...rows].map(([, name]) => name) : unified.trim().split(' ');
  return needed.filter((name) => !there.includes(name));
};

/** Lists a cgroup and those in it, the innermost first: the order in which they can be removed. */
export const cgroupTree = (path: string): string[] => [...foldersIn(path).flatMap(cgroupTree), path];

/** Finds the folders of a cgroup by name: one in cgroup v2, one in each hierarchy in v1. */
export const cgroupsNamed = (name: string): string[] => {
  const hierarchies = [mount, ...foldersIn(mount)];
  const places = hierarchies.map((hierarchy) => `${hierarchy}/${name}`);
  return places.filter((place) => {
    try {
      readdirSync(place);
      return true;
    } catch {
      return false;
    }
  });
};

/** Lists the processes in cgroups and in those below them. */
export const processesIn = (cgroups: readonly string[]): number[] => [
  ...new Set(
    cgroups.flatMap(cgroupTree).flatMap((cgroup) => {
      try {
        return readFileSync(`${cgroup}/cgroup.procs`, 'utf8').trim().split('\n').filter(Boolean).map(Number);
      } catch {
        return [];
      }
    }),
  ),
];
