import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { paths } from '../../lib/host/paths.ts';

const cgroupsOf = (name: string): string[] =>
  readFileSync('/proc/self/cgroup', 'utf8')
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [, controllers = '', path = ''] = line.split(':');
      return ['', 'unified'].map(
        (top) => `/sys/fs/cgroup/${controllers.replace('name=', '') || top}${path}/hardway-vm-${name}`,
      );
    })
    .filter((folder) => existsSync(folder));

/** Everything of a VM that can be seen on this machine. */
export const traces = (name: string) => ({
  folder: existsSync(`${paths.vms}/${name}`),
  mounts: readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`${paths.vms}/${name}`)),
  processes: readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${paths.vms}/${name}/`);
    } catch {
      return false;
    }
  }),
  cgroups: cgroupsOf(name),
});
/** The traces of a VM that there is not. */
export const nothing = { folder: false, mounts: [], processes: [], cgroups: [] };
