import { readFileSync, rmdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { tmuxUnit } from '../../../lib/daemons/tmux.ts';
import { cgroupsNamed, cgroupTree, processesIn } from '../../../lib/host/cgroups.ts';
import { tryRun } from '../../../lib/host/run.ts';
import type { CleanupScope } from './scope.ts';

const commandLineOf = (pid: number): readonly string[] => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
};

/** Ends processes, and those that they start meanwhile, with the signal that none can ignore. */
const end = async (find: () => readonly number[]): Promise<void> => {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const pids = find();
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw new Error(`still there after 10 s: pid ${pids.join(', ')}`);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {} // ended by itself
    }
    await sleep(10);
  }
};

const podCgroups = (): string[] => [...cgroupsNamed('kubepods'), ...cgroupsNamed('kubepods.slice')];

/** The processes of Pods, known by the cgroups that the kubelet made for them. */
export const endPods = async ({ gate }: CleanupScope): Promise<void> => {
  const find = () => processesIn(podCgroups());
  const count = find().length;
  if (count > 0) await gate.apply('processes of Pods ended', `${count} processes`, () => end(find));
};

/** Where containerd runs: under its own unit, or under that of the tmux server. */
const ourCgroups = ['system.slice/containerd.service', `system.slice/${tmuxUnit}.service`];

/** containerd's shims for Kubernetes: in our unit's cgroup, of Kubernetes' namespace. Those of others stay. */
export const endShims = async ({ gate }: CleanupScope): Promise<void> => {
  const find = () =>
    processesIn(ourCgroups.flatMap(cgroupsNamed)).filter((pid) => {
      const words = commandLineOf(pid);
      const namespace = words[words.indexOf('-namespace') + 1];
      return words.includes('-namespace') && namespace === 'k8s.io';
    });
  const count = find().length;
  if (count > 0) await gate.apply('shims ended', `${count} processes`, () => end(find));
};

export const removeCgroups = async ({ gate }: CleanupScope): Promise<void> => {
  const all = podCgroups().flatMap(cgroupTree);
  if (all.length === 0) return;
  await gate.apply('cgroups of Pods removed', `${all.length} below kubepods`, async () => {
    // systemd knows those that it made by a name; it would make them again.
    await tryRun('systemctl', ['stop', 'kubepods.slice']);
    for (const cgroup of podCgroups().flatMap(cgroupTree)) rmdirSync(cgroup);
  });
};
