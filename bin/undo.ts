import { readdir, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Aftermath } from '../lib/cluster/leftovers/aftermath.ts';
import { foreignNamespaces, removeKubernetesNamespace, removePods } from '../lib/cluster/leftovers/containerd.ts';
import { restoreParameters, unloadModules } from '../lib/cluster/leftovers/kernel.ts';
import { removeLeftovers } from '../lib/cluster/leftovers.ts';
import { isSupervision, type Supervisor, supervisorIn } from '../lib/daemons/supervisor.ts';
import { until } from '../lib/engine/check.ts';
import { reasonOf, Unhealthy, UserError } from '../lib/engine/errors.ts';
import type { Lab } from '../lib/engine/lab.ts';
import { keepEntries, type LedgerEntry, readLedger } from '../lib/engine/ledger.ts';
import { takeLock } from '../lib/engine/lock.ts';
import { openView } from '../lib/engine/runner.ts';
import { forgetSeen } from '../lib/engine/seen.ts';
import { readState, type State, writeState } from '../lib/engine/state.ts';
import { type Gate, isInside, openGate, removeTree, type UndoEvent, undoEntries } from '../lib/engine/undo.ts';
import { readIfThere, statIfThere } from '../lib/host/files.ts';
import { paths } from '../lib/host/paths.ts';
import { type Difference, differences, inWords, type Picture, readPicture, takePicture } from '../lib/host/picture.ts';
import { components, stepIds, stepsWith } from '../steps/index.ts';
import { kubelet } from '../steps/kubelet.ts';
import { interruptible } from './interrupt.ts';

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

/** Shows a reset: in a dry run every line, else what of each kind there was, or how many where there were several. */
const openShow = ({ json, dryRun }: UndoOptions) => {
  const undone = new Map<string, string[]>();
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
    if (event.event === 'undo') undone.set(event.group, [...(undone.get(event.group) ?? []), event.what]);
    const text = json ? JSON.stringify(event) : inLine(event);
    if (text !== undefined) line(text);
  };
  const sum = (): void => {
    if (json || dryRun) return;
    for (const [group, [first = '', ...others]] of undone) {
      line(`  ${group.padEnd(32)} ${others.length === 0 ? first : others.length + 1}`);
    }
  };
  const say = (text: string): void => {
    if (!json) line(text);
  };
  const done = (ok: boolean, seconds: number): void => {
    if (json) line(JSON.stringify({ event: 'done', ok, seconds }));
  };
  return { tell, sum, done, line: say };
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
export const undo = (found: Remains, options: UndoOptions): Promise<void> =>
  interruptible('hardway reset goes on from here', (signal) => undoUntil(signal, found, options));

const undoUntil = async (signal: AbortSignal, found: Remains, options: UndoOptions): Promise<void> => {
  const begin = performance.now();
  const { to, dryRun = false } = options;
  const stays = new Set(to === undefined ? [] : stepIds.slice(0, stepIds.indexOf(to) + 1));
  const undone = stepIds.filter((id) => !stays.has(id)).reverse();
  const again = `hardway reset${to === undefined ? '' : ` --to ${to}`} --yes`;
  if (!dryRun && !options.yes) await mustAgree(undone, options, again);

  const release = dryRun ? () => {} : takeLock(paths.lock);
  const show = openShow(options);
  const gate = openGate(dryRun, show.tell, signal);
  try {
    await takeBack({ found, undone, stays, gate, signal });
    show.sum();
    const whole = to === undefined && !dryRun;
    const changed = whole && found.before ? await compare(found.before) : [];
    for (const one of changed) show.tell({ event: 'difference', ...one });
    const clean = gate.failures.length === 0;
    if (whole && clean) await removeRoot();
    if (options.purge && !dryRun && clean) await purgeCache(gate.keep);

    const seconds = Math.round(performance.now() - begin) / 1000;
    show.done(clean && changed.length === 0, seconds);
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

const lastWords = ({ before }: Remains, { to, dryRun }: UndoOptions, seconds: number): string => {
  if (dryRun) return 'nothing was touched; without --dry-run the host is then compared with what it was';
  if (to !== undefined) return `back at ${to}, ${seconds.toFixed(1)} s\nnext: hardway up`;
  return before
    ? `the host is as it was before, ${seconds.toFixed(1)} s`
    : `done, ${seconds.toFixed(1)} s; there is no picture of the host from before to compare it with`;
};

interface Task {
  readonly found: Remains;
  /** Steps to undo, the last one first. */
  readonly undone: readonly string[];
  readonly stays: ReadonlySet<string>;
  readonly gate: Gate;
  readonly signal: AbortSignal;
}

/** Everything that a reset does to the machine, but for the lab's own folder. */
const takeBack = async (task: Task): Promise<void> => {
  const { found, undone, stays, gate } = task;
  const whole = stays.size === 0;
  if (!gate.dryRun) await forgetSeen(paths.seen, stays);
  if (!whole && found.state && !gate.dryRun) {
    await forget(found.state, stays);
    if (stays.has('kube-apiserver')) await withdraw(undone, found.state.lab, gate.keep);
  }
  const shared = undone.includes('containerd') && (await foreignNamespaces()).length > 0;
  // Pods cannot outlive their network: the kubelet pauses while they are removed.
  const pause = undone.includes('network') && stays.has('kubelet');
  const supervisor = supervisorIn(found.entries);
  await stopAll(task, { shared, pause });

  const aftermath: Aftermath = { gate, undone, before: found.before, shared };
  await removeLeftovers(aftermath);
  await undoEntries(
    found.entries.filter(({ step }) => !stays.has(step)),
    { gate, isOurs: (one) => !(whole && isInside(one)) && !isSupervision(one) },
  );
  await supervisor.forget(
    undone.filter((id) => components.includes(id)),
    gate,
  );
  if (pause) await gate.act('components started again', 'kubelet', () => resumeKubelet(supervisor, task));
  if (whole) {
    await restoreParameters(aftermath);
    if (gate.dryRun) return;
    await unloadModules(found.before);
    await removeStaleLocks();
  } else if (!gate.dryRun && gate.failures.length === 0) await keepEntries(paths.ledger, [...stays]);
};

/** Starts the kubelet again and waits until it answers: it belongs to what stays, and that is healthy afterwards. */
const resumeKubelet = async (supervisor: Supervisor, { found, signal }: Task): Promise<void> => {
  await supervisor.resume('kubelet');
  const lab = found.state?.lab;
  if (!lab) return;
  const context = openView(lab);
  for (const { phrase, look } of kubelet.healthy) {
    await until(phrase, () => look(context), { signal, deadline: 60_000 });
  }
};

/** Stops the components of undone steps; what needs a living containerd is done in between. */
const stopAll = async (
  { found, undone, stays, gate }: Task,
  { shared, pause }: { readonly shared: boolean; readonly pause: boolean },
): Promise<void> => {
  const supervisor = supervisorIn(found.entries);
  const stopped = undone.filter((id) => components.includes(id));
  await supervisor.stop(
    stopped.filter((id) => !(shared && id === 'containerd')),
    components,
    gate,
  );
  if (pause) await gate.act('components paused', 'kubelet', () => supervisor.pause('kubelet'));
  if (pause || shared || (undone.includes('kubelet') && stays.has('containerd'))) await removePods(gate);
  if (!shared) return;
  await removeKubernetesNamespace(gate);
  await supervisor.stop(['containerd'], components, gate);
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

/** Kinds of things that the kernel takes away in its own time, after whoever held them has gone. */
const passing: readonly string[] = [
  ...['link', 'address', 'route', 'network namespace', 'listener', 'mount', 'cgroup', 'unit'],
  ...['kernel module', 'kernel parameter', 'nft'],
];

/** What is not as it was; what may still pass is given ten seconds. */
const compare = async (before: Picture): Promise<readonly Difference[]> => {
  const end = performance.now() + 10_000;
  for (;;) {
    const found = differences(before, await takePicture(before.homes));
    await unloadModules(before); // looking at rules loads some, and some were still in use before
    if (!found.some(({ kind }) => passing.includes(kind)) || performance.now() > end) return found;
    await sleep(500);
  }
};

/** Forgets that steps were applied, before they are taken back: a crash in between must not leave them as healthy. */
const forget = (state: State, stays: ReadonlySet<string>): Promise<void> =>
  writeState(paths.state, {
    ...state,
    steps: Object.fromEntries(Object.entries(state.steps).filter(([id]) => stays.has(id))),
  });
