import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Unhealthy, UserError } from '../../lib/engine/errors.ts';
import { createUndoer, removeTree } from '../../lib/engine/gate.ts';
import { takeLock } from '../../lib/engine/lock.ts';
import { isMountPoint } from '../../lib/host/mounts.ts';
import { paths } from '../../lib/host/paths.ts';
import { type Difference, diffSnapshots, type HostSnapshot, takeSnapshot } from '../../lib/host/snapshot.ts';
import { stepIds } from '../../steps/index.ts';
import { interruptible } from '../interrupt.ts';
import { resetTo } from '../lab.ts';
import { unloadModules } from './clean/kernel.ts';
import type { LabOnDisk } from './lab-on-disk.ts';
import { openShow } from './show.ts';
import { undoSteps } from './take-back.ts';

export interface UndoOptions {
  /** The last step that stays; absent when everything goes. */
  readonly to?: string | undefined;
  readonly purge?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly yes?: boolean | undefined;
  readonly json?: boolean | undefined;
}

const countIn = async (folder: string): Promise<number> => (await readdir(folder).catch(() => [])).length;

/** Says what will be lost and asks. Throws UserError without a terminal to ask on, and when the answer is no. */
const mustAgree = async (undone: readonly string[], { to, purge }: UndoOptions, again: string): Promise<void> => {
  const lost = [
    to === undefined ? 'the cluster on this machine' : `the steps ${undone.join(', ')}`,
    ...(undone.includes('kubelet') ? [`${await countIn('/var/lib/kubelet/pods')} Pods and their volumes`] : []),
    ...(undone.includes('kube-apiserver') ? ["etcd's data: every object of the cluster"] : []),
    ...(undone.includes('certificates') ? ['its certificates and keys'] : []),
    ...(purge ? [`the downloads and builds in ${paths.cache}`] : []),
  ];
  const question = `This destroys:\n${lost.map((one) => `  ${one}\n`).join('')}`;
  if (!process.stdin.isTTY) throw new UserError(`${question}and nobody is here to be asked`, again);
  process.stdout.write(question);
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question('Go on? [y/N] ').catch(() => '');
  terminal.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new UserError('nothing was changed', `${again}, when you are sure`);
};

/** Removes the lab's own folder; what a second run would need goes last. */
const removeRoot = async (): Promise<void> => {
  const last: readonly string[] = [paths.picture, paths.ledger];
  for (const name of await readdir(paths.root)) {
    if (!last.includes(`${paths.root}/${name}`)) await removeTree(`${paths.root}/${name}`);
  }
  await removeTree(paths.root);
};

/** Drops downloads and builds, unless they are shared with another machine: a VM's are its host's. */
export const purgeCache = async (keep: (what: string) => void): Promise<void> => {
  if (isMountPoint(paths.cache)) return keep(`${paths.cache} is mounted here: it is another machine's too`);
  await removeTree(paths.cache);
};

/**
 * Takes back what came after the step `to`, or everything; then compares the machine with what it was.
 * Throws Unhealthy when something could not be taken back or is not as it was, UserError when nobody agreed.
 */
export const undo = (found: LabOnDisk, options: UndoOptions): Promise<void> =>
  interruptible('hardway reset goes on from here', (signal) => undoUntil(signal, found, options));

const undoUntil = async (signal: AbortSignal, found: LabOnDisk, options: UndoOptions): Promise<void> => {
  const begin = performance.now();
  const { to, dryRun = false } = options;
  const stays = new Set(to === undefined ? [] : stepIds.slice(0, stepIds.indexOf(to) + 1));
  const undone = stepIds.filter((id) => !stays.has(id)).reverse();
  const again = `${resetTo(to)} --yes`;
  if (!dryRun && !options.yes) await mustAgree(undone, options, again);

  const release = dryRun ? () => {} : takeLock(paths.lock);
  const show = openShow(options);
  const gate = createUndoer(dryRun, show.tell, signal);
  try {
    await undoSteps({ found, undone, stays, gate, signal });
    show.sum();
    const whole = to === undefined && !dryRun;
    const changed = whole && found.before ? await compare(found.before) : [];
    for (const one of changed) show.tell({ event: 'difference', ...one });
    const clean = gate.failures.length === 0;
    if (whole && clean) await removeRoot();
    if (options.purge && !dryRun && clean) await purgeCache(gate.reportKept);

    const seconds = Math.round(performance.now() - begin) / 1000;
    if (clean && changed.length === 0) show.done(seconds);
    if (!clean) {
      throw new Unhealthy(`${gate.failures.length} of these could not be taken back`, {
        next: `remove what is in the way, then ${again}`,
      });
    }
    if (changed.length > 0) {
      throw new Unhealthy(`the host differs in ${changed.length} points from what it was before`, {
        next: 'what was changed by others since is theirs; hardway has nothing left here',
      });
    }
    show.line(lastWords(found, options, seconds));
  } finally {
    release();
  }
};

const lastWords = ({ before }: LabOnDisk, { to, dryRun }: UndoOptions, seconds: number): string => {
  if (dryRun) return 'nothing was touched; without --dry-run the host is then compared with what it was';
  if (to !== undefined) return `back at ${to}, ${seconds.toFixed(1)} s\nnext: hardway up`;
  return before
    ? `the host is as it was before, ${seconds.toFixed(1)} s`
    : `done, ${seconds.toFixed(1)} s; there is no picture of the host from before to compare it with`;
};

/** Kinds of things that the kernel takes away in its own time, after whoever held them has gone. */
const settlingKinds: readonly string[] = [
  ...['link', 'address', 'route', 'network namespace', 'listener', 'mount', 'cgroup', 'unit'],
  ...['kernel module', 'kernel parameter', 'nft'],
];

/** What is not as it was; what may still pass is given ten seconds. */
const compare = async (before: HostSnapshot): Promise<readonly Difference[]> => {
  const end = performance.now() + 10_000;
  for (;;) {
    const found = diffSnapshots(before, await takeSnapshot(before.homes));
    await unloadModules(before); // looking at rules loads some, and some were still in use before
    if (!found.some(({ kind }) => settlingKinds.includes(kind)) || performance.now() > end) return found;
    await sleep(500);
  }
};
