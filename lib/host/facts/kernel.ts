import { readdir, readlink } from 'node:fs/promises';
import { readIfThere } from '../files.ts';
import { allPids, executableOf } from '../proc.ts';
import { tryRun } from '../run.ts';
import { readSysctl } from '../sysctl.ts';

/** How much of a limit of the kernel is used, and the program that uses most of it. */
export interface Usage {
  readonly used: number;
  readonly most: number;
  readonly by?: string;
}

const numberAt = (sysctl: string): number | undefined => {
  const value = Number(readSysctl(sysctl) || Number.NaN);
  return Number.isFinite(value) ? value : undefined;
};

/** Counts the inotify instances of a process and what they watch (proc_pid_fdinfo(5)); none where it has ended. */
const inotifyOf = async (pid: number): Promise<{ readonly instances: number; readonly watches: number }> => {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const targets = await Promise.all(
    names.map(async (name) => ({ name, target: await readlink(`/proc/${pid}/fd/${name}`).catch(() => '') })),
  );
  const own = targets.filter(({ target }) => target === 'anon_inode:inotify');
  const texts = await Promise.all(
    own.map(({ name }) => readIfThere(`/proc/${pid}/fdinfo/${name}`).catch(() => undefined)),
  );
  const watches = texts.reduce((sum, text = '') => sum + [...text.matchAll(/^inotify /gm)].length, 0);
  return { instances: own.length, watches };
};

const isOfRoot = async (pid: number): Promise<boolean> =>
  /^Uid:\s+0\b/m.test((await readIfThere(`/proc/${pid}/status`).catch(() => undefined)) ?? '');

/**
 * Reads how many inotify instances and watches root has of those that each user may have (inotify(7)): all components run
 * as root. Undefined where the kernel has no such limit. Sees the processes of this pid namespace.
 */
export const inotifyUsage = async (): Promise<{ instances: Usage; watches: Usage } | undefined> => {
  const instances = numberAt('fs.inotify.max_user_instances');
  const watches = numberAt('fs.inotify.max_user_watches');
  if (instances === undefined || watches === undefined) return undefined;
  const found: { pid: number; instances: number; watches: number }[] = [];
  for (const pid of allPids()) if (await isOfRoot(pid)) found.push({ pid, ...(await inotifyOf(pid)) });
  const usage = (kind: 'instances' | 'watches', most: number): Usage => {
    const [first] = found.toSorted((a, b) => b[kind] - a[kind]);
    const used = found.reduce((sum, one) => sum + one[kind], 0);
    const by = first && first[kind] > 0 ? `${executableOf(first.pid) || 'a process'} (pid ${first.pid})` : undefined;
    return { used, most, ...(by && { by }) };
  };
  return { instances: usage('instances', instances), watches: usage('watches', watches) };
};

/** Reads how many connections the kernel tracks; undefined where nf_conntrack is not loaded yet. */
export const conntrackUsage = (): Usage | undefined => {
  const used = numberAt('net.netfilter.nf_conntrack_count');
  const most = numberAt('net.netfilter.nf_conntrack_max');
  return used === undefined || most === undefined ? undefined : { used, most };
};

/** Tells whether the kernel asks AppArmor. */
export const hasAppArmor = async (): Promise<boolean> =>
  ((await readIfThere('/sys/module/apparmor/parameters/enabled')) ?? '').trim() === 'Y';

/** Returns what the kernel wrote about AppArmor in the last hour. Throws where its log cannot be read. */
export const appArmorLog = async (): Promise<string> => {
  const { stdout, stderr, code } = await tryRun(
    'journalctl',
    ['--dmesg', '--since=-1hour', '--output=cat', '--no-pager', '--grep=apparmor="DENIED"'],
    { timeout: 4000 },
  );
  // 1: no line fits.
  if (code > 1 || /^(No journal files|Failed)/m.test(stderr)) throw new Error(`journalctl: ${stderr.trim() || code}`);
  return stdout;
};
