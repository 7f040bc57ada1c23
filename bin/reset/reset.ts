import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { Unhealthy, UserError } from '../../lib/engine/errors.ts';
import { openGate } from '../../lib/engine/gate.ts';
import { writeLedger } from '../../lib/engine/ledger.ts';
import { withLock } from '../../lib/engine/lock.ts';
import { paths } from '../../lib/host/paths.ts';
import type { Difference } from '../../lib/host/snapshot.ts';
import { interruptible } from '../interrupt.ts';
import { resetTo } from '../lab.ts';
import { purgeCache, reasonToKeepCache } from './clean/cache.ts';
import { sharingOfContainerd } from './clean/containerd.ts';
import { type LabOnDisk, readLabOnDisk } from './lab-on-disk.ts';
import { planReset, type ResetPlan } from './plan.ts';
import { openShow } from './show.ts';
import { takeStages } from './stages.ts';

export interface ResetOptions {
  /** Returns the id of the last step that stays; undefined when everything is undone. Called again under the lock. */
  readonly to: (found: LabOnDisk) => string | undefined;
  readonly purge?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly yes?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** The lab on the disk, and the plan of its reset. */
interface Prepared {
  readonly found: LabOnDisk;
  readonly plan: ResetPlan;
}

const prepare = async ({ to, purge = false }: ResetOptions): Promise<Prepared | undefined> => {
  const found = await readLabOnDisk();
  if (!found) return undefined;
  const { shared, unreadable } = await sharingOfContainerd();
  const plan = planReset({ found, to: to(found), sharesContainers: shared, purges: purge });
  if (unreadable === undefined || !plan.sharesContainers) return { found, plan };
  return { found: { ...found, unreadable: [...(found.unreadable ?? []), unreadable] }, plan };
};

const countIn = async (folder: string): Promise<number> => (await readdir(folder).catch(() => [])).length;

const cacheLost = `the downloads and builds in ${paths.cache}`;

/** Lists the data that a reset destroys for good, one line each. */
const lostWith = async ({ to, undone, installed, loses, purges }: ResetPlan): Promise<readonly string[]> => {
  const steps = installed.length > 0 ? installed : undone;
  const counted = loses.map(async ({ what, countedIn }) => (countedIn ? `${await countIn(countedIn)} ${what}` : what));
  return [
    ...(to === undefined ? ['the cluster on this machine'] : []),
    ...(to !== undefined && steps.length > 0 ? [`the steps ${steps.join(', ')}`] : []),
    ...(await Promise.all(counted)),
    ...(purges && (await reasonToKeepCache()) === undefined ? [cacheLost] : []),
  ];
};

/** Lists what will be lost and asks. Throws UserError without a terminal to ask on, and when the answer is no. */
const mustAgree = async (lost: readonly string[], again: string): Promise<void> => {
  const question = `This destroys:\n${lost.map((one) => `  ${one}\n`).join('')}`;
  if (!process.stdin.isTTY) throw new UserError(`${question}and nobody is here to be asked`, again);
  process.stdout.write(question);
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question('Go on? [y/N] ').catch(() => '');
  terminal.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new UserError('nothing was changed', `${again}, when you are sure`);
};

/**
 * Undoes the steps after one, or everything, then compares the machine with its snapshot. Throws Unhealthy when
 * something could not be undone or differs; UserError when the person did not agree, or the lab has changed while the
 * question stood.
 */
export const reset = (options: ResetOptions): Promise<void> =>
  interruptible('hardway reset goes on from here', (signal) => resetUntil(signal, options));

const resetUntil = async (signal: AbortSignal, options: ResetOptions): Promise<void> => {
  const { dryRun = false, yes = false } = options;
  const asked = await prepare(options);
  if (!asked) return withoutLab(options);
  const { to, undone } = asked.plan;
  const show = openShow(options);
  if (undone.length === 0 && !options.purge) {
    show.line(`there is no step after ${to}: nothing to take back`);
    return show.done(0);
  }
  if (asked.plan.stopped.length > 0) supervisorOf(asked.plan).requireOutside();
  const again = `${resetTo(to)}${options.purge ? ' --purge' : ''} --yes`;
  if (!dryRun && !yes) await mustAgree(await lostWith(asked.plan), again);
  if (dryRun) return perform(asked, options, { signal, again });

  await withLock(paths.lock, async () => {
    const now = await prepare(options); // another hardway may have changed it meanwhile
    if (now?.plan.installed.join() !== asked.plan.installed.join() && !yes)
      throw new UserError('the lab has changed since you were asked; nothing was changed by this reset', resetTo(to));
    if (!now) return withoutLab(options);
    // Once its units are gone nothing would tell a second reset of it.
    if (now.found.lost) await writeLedger(paths.ledger, now.found.entries);
    await perform(now, options, { signal, again });
  });
};

/** Resets a machine without a lab: deletes the cache if that was asked for. */
const withoutLab = async (options: ResetOptions): Promise<void> => {
  const show = openShow(options);
  show.line('there is no lab on this machine: nothing to take back');
  if (options.purge) {
    const asks = !options.yes && !options.dryRun && (await reasonToKeepCache()) === undefined;
    if (asks) await mustAgree([cacheLost], 'hardway reset --purge --yes');
    const gate = openGate(options.dryRun ?? false, show.tell);
    await gate.runStage('cache purged', (undoer) => purgeCache({ undoer, failures: gate.failures }));
    if (gate.failures.length > 0) throw new Unhealthy('the cache could not be removed', { next: `ls ${paths.cache}` });
  }
  show.done(0);
};

/** Runs the stages and prints the result. */
const perform = async (
  { found: { before, unreadable = [] }, plan }: Prepared,
  options: ResetOptions,
  { signal, again }: { readonly signal: AbortSignal; readonly again: string },
): Promise<void> => {
  const begin = performance.now();
  const show = openShow(options);
  const { failures, remaining, runStage } = openGate(options.dryRun ?? false, show.tell, signal);
  const differences: Difference[] = [];
  for (const what of unreadable) show.tell({ event: 'kept', what });
  const reportDifference = (one: Difference): void => void differences.push(one);
  const stopped = await takeStages(plan, failures, async ({ name, why, run }) => {
    signal.throwIfAborted();
    show.beginStage(name, why);
    await runStage(name, (undoer) => run({ plan, before, undoer, failures, remaining, signal, reportDifference }));
    show.endStage();
  });
  show.sum();
  for (const one of differences) show.tell({ event: 'difference', ...one });
  const seconds = Math.round(performance.now() - begin) / 1000;
  if (stopped !== undefined)
    throw new Unhealthy(`nothing after "${stopped}" was taken back: it rests on that`, {
      next: `hardway up, which repairs the lab, then ${again}`,
    });
  if (failures.length > 0) {
    throw new Unhealthy(`${failures.length} of these could not be taken back`, {
      next: `remove what is in the way, then ${again}`,
    });
  }
  if (remaining.length > 0) {
    throw new Unhealthy(`${remaining.join(', ')} stays: others need it`, { next: `${again}, once nobody does` });
  }
  if (differences.length > 0) {
    throw new Unhealthy(`the host differs in ${differences.length} points from what it was before`, {
      next: 'what was changed by others since is theirs; hardway has nothing left here',
    });
  }
  show.done(seconds);
  show.line(lastWords(plan, { dryRun: options.dryRun, compared: before !== undefined, seconds }));
};

const lastWords = (
  { to }: ResetPlan,
  { dryRun, compared, seconds }: { dryRun: boolean | undefined; compared: boolean; seconds: number },
): string => {
  if (dryRun) return 'nothing was touched; without --dry-run the host is then compared with what it was';
  if (to !== undefined) return `back at ${to}, ${seconds.toFixed(1)} s\nnext: hardway up`;
  return compared
    ? `the host is as it was before, ${seconds.toFixed(1)} s`
    : `done, ${seconds.toFixed(1)} s; there is no snapshot of the host from before to compare it with`;
};
