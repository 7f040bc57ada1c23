import { rmdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupsOf } from '../../../lib/daemons/supervisor.ts';
import { cgroupsNamed, cgroupTree, processesIn } from '../../../lib/host/cgroups.ts';
import { commandLineOf } from '../../../lib/host/proc.ts';
import { tryRun } from '../../../lib/host/run.ts';
import type { ResetPlan } from '../plan.ts';
import type { Reset } from './scope.ts';

/** Kills processes, and those that they start meanwhile (SIGKILL). */
const end = async (find: () => readonly number[]): Promise<void> => {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const pids = find();
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw new Error(`still there after 10 s: pid ${pids.join(', ')}`);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {} // it has ended by itself
    }
    await sleep(10);
  }
};

const podCgroups = ({ leaves }: ResetPlan): string[] => leaves.cgroups.flatMap(cgroupsNamed);

/** Kills the processes of Pods, found by the cgroups that were made for them. */
export const endPods = async ({ undoer, plan }: Reset): Promise<void> => {
  const find = () => processesIn(podCgroups(plan));
  const count = find().length;
  if (count > 0) await undoer.apply(`${count} processes`, () => end(find));
};

const has = (words: readonly string[], wanted: readonly string[]): boolean =>
  words.some((_, at) => wanted.every((word, index) => words[at + index] === word));

/** Kills processes that outlive their daemon in the cgroup of its unit. Those that others started there stay. */
export const endOrphans = async ({ undoer, plan }: Reset): Promise<void> => {
  const { processes } = plan.leaves;
  const cgroups = plan.stopped.flatMap(({ name }) => cgroupsOf(name));
  const find = () =>
    processesIn([...new Set(cgroups)].flatMap(cgroupsNamed)).filter((pid) => {
      const words = commandLineOf(pid);
      return processes.some((wanted) => has(words, wanted));
    });
  const count = find().length;
  if (count > 0) await undoer.apply(`${count} processes`, () => end(find));
};

/** Removes what systemd leaves of the cgroups of stopped components in hierarchies that it does not use itself. */
const removeEmptyCgroups = ({ stopped }: ResetPlan): void => {
  for (const cgroup of stopped.flatMap(({ name }) => cgroupsOf(name).flatMap(cgroupsNamed)).flatMap(cgroupTree)) {
    try {
      rmdirSync(cgroup);
    } catch {} // somebody's process is in it
  }
};

/** Removes the cgroups of Pods, the innermost first. */
export const removeCgroups = async ({ undoer, plan }: Reset): Promise<void> => {
  if (!undoer.dryRun) removeEmptyCgroups(plan);
  const all = podCgroups(plan).flatMap(cgroupTree);
  if (all.length === 0) return;
  await undoer.apply(`${all.length} below ${plan.leaves.cgroups.join(' or ')}`, async () => {
    // systemd made these cgroups as slices and would make them again.
    for (const slice of plan.leaves.cgroups.filter((name) => name.endsWith('.slice')))
      await tryRun('systemctl', ['stop', slice]);
    for (const cgroup of podCgroups(plan).flatMap(cgroupTree)) rmdirSync(cgroup);
  });
};
