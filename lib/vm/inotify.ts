import { readdir, readlink } from 'node:fs/promises';
import { UserError } from '../engine/errors.ts';
import { readSysctl } from '../host/sysctl.ts';

/** inotify instances that systemd, containerd and the components of one lab hold: 33 were counted in a running VM. */
const perVm = 40;

const held = async (pid: string): Promise<number> => {
  const folder = `/proc/${pid}/fd`;
  const files = await readdir(folder).catch(() => []); // the process has ended
  const targets = await Promise.all(files.map((file) => readlink(`${folder}/${file}`).catch(() => '')));
  return targets.filter((target) => target === 'anon_inode:inotify').length;
};

/**
 * Throws a UserError where one more container VM would run out of inotify instances. Its root is this machine's, so all
 * VMs share one limit (128 on Debian and Ubuntu), and the kubelet of the fourth says "too many open files".
 */
export const needInotify = async (): Promise<void> => {
  const limit = Number(readSysctl('fs.inotify.max_user_instances') ?? Number.POSITIVE_INFINITY);
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const used = (await Promise.all(pids.map(held))).reduce((sum, number) => sum + number, 0);
  if (used + perVm <= limit) return;
  throw new UserError(
    `fs.inotify.max_user_instances is ${limit}, of which ${used} are in use; another VM needs about ${perVm}`,
    'sysctl -w fs.inotify.max_user_instances=1024, or hardway vm delete one that you no longer need',
  );
};
