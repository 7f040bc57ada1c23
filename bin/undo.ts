import { readdir, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import type { Aftermath } from '../lib/cluster/leftovers/aftermath.ts';
import { foreignNamespaces, removeKubernetesNamespace, removePods } from '../lib/cluster/leftovers/containerd.ts';
import { restoreParameters, unloadModules } from '../lib/cluster/leftovers/kernel.ts';
import { removeLeftovers } from '../lib/cluster/leftovers.ts';
import { forgetComponents, stopComponents } from '../lib/daemons/stop.ts';
import { reasonOf, Unhealthy, UserError } from '../lib/engine/errors.ts';
import type { Lab } from '../lib/engine/lab.ts';
import { keepEntries, type LedgerEntry, readLedger } from '../lib/engine/ledger.ts';
import { takeLock } from '../lib/engine/lock.ts';
import { openView } from '../lib/engine/runner.ts';
import { readState, type State, writeState } from '../lib/engine/state.ts';
import { isInside, openGate, removeTree, type UndoEvent, undoEntries } from '../lib/engine/undo.ts';
import { readIfThere, statIfThere } from '../lib/host/files.ts';
import { paths } from '../lib/host/paths.ts';
import { type Difference, differences, inWords, type Picture, readPicture, takePicture } from '../lib/host/picture.ts';
import { run } from '../lib/host/run.ts';
import { components, stepIds, stepsWith } from '../steps/index.ts';

export interface UndoOptions {
  /** The last step that stays; absent when everything goes. */
  readonly to?: string | undefined;
  readonly purge?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly yes?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** What is known of this machine's lab, as far as it can still be read. */
export interface Remains {
  readonly entries: readonly LedgerEntry[];
  readonly state: State | undefined;
  readonly before: Picture | undefined;
}

/** Reads what hardway left on this machine; undefined where there is nothing. A torn state file counts as none. */
export const remains = async (): Promise<Remains | undefined> => {
  if (process.getuid?.() !== 0) throw new UserError(`${paths.root} belongs to root`, 'the same command with sudo');
  if (!(await statIfThere(paths.root))) return undefined;
  const [entries, state, before] = await Promise.all([
    readLedger(paths.ledger),
    readState(paths.state).catch(() => undefined),
    readPicture(paths.picture),
  ]);
  return { entries, state, before };
};

/** The steps of which something is on this machine, in their order. */
export const stepsThere = ({ entries, state }: Remains): readonly string[] =>
  stepIds.filter((id) => state?.steps[id] !== undefined || entries.some(({ step }) => step === id));

type Told = UndoEvent | ({ readonly event: 'difference' } & Difference);

/** Shows a reset: in a dry run every line, else how many things of each kind. */
const openShow = ({ json, dryRun }: UndoOptions) => {
  const counts = new Map<string, number>();
  const line = (text: string): void => {
    process.stdout.write(`${text}\n`);
  };
  const inLine = (event: Told): string | undefined => {
    switch (event.event) {
      case 'undo':
        return dryRun ? `  ${event.group}: ${event.what}` : undefined;
      case 'kept':
        return `  kept: ${event.what}`;
      case 'failed':
        return `  NOT DONE: ${event.what}: ${event.reason}`;
      case 'difference':
        return `  ${inWords(event)}`;
    }
  };
  const tell = (event: Told): void => {
    if (event.event === 'undo') counts.set(event.group, (counts.get(event.group) ?? 0) + 1);
    const text = json ? JSON.stringify(event) : inLine(event);
    if (text !== undefined) line(text);
  };
  const sum = (): void => {
    if (json || dryRun || counts.size === 0) return;
    line(`  ${[...counts].map(([group, count]) => `${group} ${count}`).join(', ')}`);
  };
  const say = (text: string): void => {
    if (!json) line(text);
  };
  return { tell, sum, line: say };
};

const countIn = async (folder: string): Promise<number> => (await readdir(folder).catch(() => [])).length;

/** Says what will be lost and asks. Throws UserError without a terminal to ask on, and when the answer is no. */
const mustAgree = async (undone: readonly string[], { to, purge }: UndoOptions, again: string): Promise<void> => {
  const lost = [
    to === undefined ? 'the cluster on this machine' : `the steps ${undone.join(', ')}`,
    ...(undone.includes('kubelet') ? [`${await countIn('/var/lib/kubelet/pods')} Pods and their volumes`] : []),
    ...(undone.includes('etcd') ? ["etcd's data: every object of the cluster"] : []),
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
  const table = (await readIfThere('/proc/self/mountinfo')) ?? '';
  if (table.includes(` ${paths.cache} `)) return keep(`${paths.cache} is mounted here: it is another machine's too`);
  await removeTree(paths.cache);
};

/** Locks of runs that were killed just while they took one. */
const removeStaleLocks = async (): Promise<void> => {
  for (const name of await readdir('/run')) {
    const pid = /^hardway\.lock\.(\d+)$/.exec(name)?.[1];
    if (pid && !(await statIfThere(`/proc/${pid}`))) await rm(`/run/${name}`, { force: true });
  }
};

/**
 * Takes back what came after the step `to`, or everything; then compares the machine with what it was.
 * Throws Unhealthy when something could not be taken back or is not as it was, UserError when nobody agreed.
 */
export const undo = async (found: Remains, options: UndoOptions): Promise<void> => {
  const begin = performance.now();
  const { to, dryRun = false, json } = options;
  const again = `hardway reset${to === undefined ? '' : ` --to ${to}`} --yes`;
  const stays = new Set(to === undefined ? [] : stepIds.slice(0, stepIds.indexOf(to) + 1));
  const undone = stepIds.filter((id) => !stays.has(id)).reverse();
  const entries = found.entries.filter(({ step }) => !stays.has(step));
  if (!dryRun && !options.yes) await mustAgree(undone, options, again);

  const release = dryRun ? () => {} : takeLock(paths.lock);
  const show = openShow(options);
  const gate = openGate(dryRun, show.tell);
  try {
    if (to !== undefined && found.state && !dryRun) await forget(found.state, stays);
    if (to !== undefined && stays.has('kube-apiserver') && found.state && !dryRun)
      await withdraw(undone, found.state.lab, gate.keep);
    const others = undone.includes('containerd') ? await foreignNamespaces() : [];
    const shared = others.length > 0;
    const stopped = undone.filter((id) => components.includes(id));
    // Pods cannot outlive their network: the kubelet pauses while they are removed.
    const pause = undone.includes('network') && stays.has('kubelet');
    await stopComponents(
      stopped.filter((id) => !(shared && id === 'containerd')),
      gate,
    );
    if (pause) await gate.act('components paused', 'kubelet', () => run('systemctl', ['stop', 'kubelet']));
    if (pause || stays.has('containerd') || shared) await removePods(gate);
    if (shared) {
      await removeKubernetesNamespace(gate);
      await stopComponents(['containerd'], gate);
    }

    const aftermath: Aftermath = { gate, undone, before: found.before, shared };
    await removeLeftovers(aftermath);
    await undoEntries(entries, {
      gate,
      isOurs: (one) => (to === undefined ? !isInside(one) : true) && !unitCommand(one),
    });
    await forgetComponents(stopped, gate);
    if (pause) await gate.act('components started again', 'kubelet', () => run('systemctl', ['start', 'kubelet']));
    if (to === undefined) {
      await restoreParameters(aftermath);
      await unloadModules(aftermath);
      await removeStaleLocks();
    } else if (!dryRun && gate.failures.length === 0) await keepEntries(paths.ledger, [...stays]);
    show.sum();

    const seconds = Math.round(performance.now() - begin) / 1000;
    const changed = to === undefined && !dryRun && found.before ? await compare(found.before) : [];
    for (const one of changed) show.tell({ event: 'difference', ...one });
    const clean = gate.failures.length === 0;
    if (to === undefined && !dryRun && clean) await removeRoot();
    if (options.purge && !dryRun && clean) await purgeCache(gate.keep);
    if (json)
      process.stdout.write(`${JSON.stringify({ event: 'done', ok: clean && changed.length === 0, seconds })}\n`);
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
    if (dryRun) return show.line('nothing was touched; without --dry-run the host is then compared with what it was');
    if (to !== undefined) return show.line(`back at ${to}, ${seconds.toFixed(1)} s\nnext: hardway up`);
    show.line(
      found.before
        ? `the host is as it was before, ${seconds.toFixed(1)} s`
        : `done, ${seconds.toFixed(1)} s; there is no picture of the host from before to compare it with`,
    );
  } finally {
    release();
  }
};

/** Takes the objects of undone steps out of a cluster that lives on. One that does not answer keeps them until `up`. */
const withdraw = async (undone: readonly string[], lab: Lab, keep: (what: string) => void): Promise<void> => {
  const context = openView(lab);
  const all = stepsWith(lab);
  for (const id of undone) {
    await all
      .find((step) => step.id === id)
      ?.withdraw?.(context)
      .catch((error: unknown) => keep(`the objects of ${id} in the cluster: ${reasonOf(error)}`));
  }
};

/** Commands to systemd are given once for all units, not unit by unit. */
const unitCommand = (undo: LedgerEntry['undo']): boolean =>
  undo.kind === 'run' && undo.argv[0] === 'systemctl' && ['stop', 'disable'].includes(undo.argv[1] ?? '');

const compare = async (before: Picture): Promise<readonly Difference[]> => {
  const first = differences(before, await takePicture(before.homes));
  if (first.length === 0) return first;
  // The kernel takes network namespaces and what is in them away in its own time.
  await new Promise((resolve) => setTimeout(resolve, 500));
  return differences(before, await takePicture(before.homes));
};

/** Forgets that steps were applied, before they are taken back: a crash in between must not leave them as healthy. */
const forget = (state: State, stays: ReadonlySet<string>): Promise<void> =>
  writeState(paths.state, {
    ...state,
    steps: Object.fromEntries(Object.entries(state.steps).filter(([id]) => stays.has(id))),
  });
