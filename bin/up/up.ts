import { programsReady } from '../../lib/binaries/needed.ts';
import { statusOf, supervisorOf } from '../../lib/daemons/supervisor.ts';
import { type Lab, warningsOf } from '../../lib/engine/lab.ts';
import { allLeaves } from '../../lib/engine/leaves.ts';
import { openLedger, ownedPaths } from '../../lib/engine/ledger.ts';
import { withLock } from '../../lib/engine/lock.ts';
import { createRunner } from '../../lib/engine/runner.ts';
import type { State } from '../../lib/engine/state.ts';
import { type LabStep, needsOf } from '../../lib/engine/step.ts';
import { languageOf } from '../../lib/engine/text.ts';
import { newerFile, statIfThere } from '../../lib/host/files.ts';
import { paths } from '../../lib/host/paths.ts';
import { notesOn, readRotation } from '../../lib/pki/rotation.ts';
import { earlyEnds } from '../../steps/certificates.ts';
import { store } from '../../steps/etcd.ts';
import { components, everyStep, stepsWith } from '../../steps/index.ts';
import { interruptible } from '../interrupt.ts';
import { noSuchStep, refuseDuringExercise } from '../lab.ts';
import { farewellWords, lessonHooks } from '../teach/hooks.ts';
import { Stopped } from '../teach/pause.ts';
import { hasNoPause, type LessonOptions, parseLessonOptions, parsePauses, skippedPauses } from '../teach/session.ts';
import { words } from '../teach/words.ts';
import { asTyped, isReadOutside } from '../typed.ts';
import { planUp, type RequestedOptions, type UpPlan } from '../up/plan.ts';
import { asJson, asLines, asList, printJson } from '../up/show.ts';

export interface Options extends RequestedOptions {
  readonly observe?: boolean;
  readonly pause?: boolean | string;
  readonly lang?: string;
  readonly plain?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Returns a line about the Node's new address, if it has changed; everything that contains it is made anew. */
const changedAddress = ({ lab: old }: State, lab: Lab): string =>
  old.node.address === lab.node.address
    ? ''
    : `this machine's address was ${old.node.address}, is now ${lab.node.address}: certificates and flags follow\n`;

/**
 * Returns a line about data of etcd that are gone, or were made anew since the API server was brought up:
 * the other components would watch for ever what is no longer there.
 */
const changedStore = async ({ steps }: State): Promise<string> => {
  const { at } = everyStep.flatMap(({ id, servesObjects }) => (servesObjects && steps[id]) || [])[0] ?? {};
  return at !== undefined && (!(await statIfThere(store)) || (await newerFile([store], Date.parse(at))))
    ? "etcd's data are not those of the last hardway up: what was created before is gone from it, and all that reads it is started again\n"
    : '';
};

/** Commands to try on a machine that has just become a cluster; `vm up` names those that are typed outside. */
const toTry = `Its kubeconfig: ${paths.kubeconfigs}/admin.conf
Try:
  kubectl get pods --all-namespaces
  hardway demo
  hardway status`;

const closingWords = (steps: number, total: number, seconds: number, last: string): string =>
  steps < total
    ? `\nstopped after ${last}, ${seconds.toFixed(1)} s\nnext: hardway up goes on; hardway status shows what runs`
    : `\nThe cluster is up, in ${seconds.toFixed(1)} s.${isReadOutside() ? '' : `\n${toTry}`}`;

/** Throws UserError where a pause was asked for after a step that the lab has not. */
const refuseUnknownPause = (pause: Options['pause'], steps: readonly LabStep[]): void => {
  if (typeof pause !== 'string') return;
  const unknown = [...parsePauses(pause)].find((id) => !steps.some((step) => step.id === id));
  if (unknown !== undefined) throw noSuchStep(unknown);
};

/**
 * Returns the steps of this run: all of the lab's, up to the last one asked for. Throws UserError where the lab has no
 * such step.
 */
const stepsUntil = (last: string, steps: readonly LabStep[]): readonly LabStep[] => {
  const at = steps.findIndex(({ id }) => id === last);
  if (at < 0) throw noSuchStep(last);
  return steps.slice(0, at + 1);
};

/** Input of a run besides its plan. */
interface Way {
  readonly options: Options;
  readonly telling: LessonOptions | undefined;
  /** Steps of the lab; `todo` are those of this run. */
  readonly steps: readonly LabStep[];
  readonly todo: readonly LabStep[];
}

/** Brings up one step after the other and shows it. */
const takeSteps = async (plan: UpPlan, { options, telling, steps, todo }: Way): Promise<void> => {
  const { lab, asked, deadline, state, ledgerEntries } = plan;
  const dryRun = options.dryRun ?? false;
  const supervisor = supervisorOf(lab);
  const ledger = openLedger(paths.ledger);
  // A terminal that does not know its size, as a serial console, says that it has no columns.
  const redrawn = process.stdout.columns > 0 && process.env['TERM'] !== 'dumb' && !options.plain && !dryRun && !telling;
  const show = options.json ? asJson : redrawn ? asList : asLines({ dryRun });
  try {
    const again = telling?.pauses.size ? `hardway up --pause --lang ${telling.language}` : 'hardway up';
    await interruptible(`${again} goes on from here`, async (signal) => {
      if (ledgerEntries.length > 0 && !dryRun) await supervisor.settle(components, signal);
      await show(todo, (tell) =>
        createRunner({
          lab,
          steps: todo,
          needs: needsOf(steps),
          places: allLeaves(everyStep.map(({ leaves }) => leaves)).paths,
          source: asked.source,
          signal,
          dryRun,
          sequential: telling !== undefined || lab.supervisor === 'tmux',
          tell,
          ledger,
          state,
          ready: programsReady,
          ...lessonHooks(telling, steps, state, tell),
          deadline,
          owned: ownedPaths(ledgerEntries),
          supervisor: { status: (name) => statusOf(lab, name), lastLog: supervisor.lastLog },
        }),
      );
    });
  } finally {
    ledger.close();
  }
};

/** Prints what a person has to know of a run before it begins. */
const printWarnings = async ({ lab, state, whyBridge }: UpPlan, options: Options): Promise<void> => {
  if (state) process.stderr.write(`${changedAddress(state, lab)}${await changedStore(state)}`);
  if (state) for (const note of notesOn(await readRotation())) process.stderr.write(asTyped(`${note}\n`));
  for (const warning of warningsOf(lab, languageOf(options.lang))) process.stderr.write(`${warning}\n`);
  // The files of certificates are root's.
  if (process.getuid?.() === 0) for (const early of await earlyEnds(lab)) process.stderr.write(`${early}\n`);
  if (whyBridge)
    process.stderr.write(
      `the network of Pods is the bridge, not Calico: ${whyBridge}; hardway up --cni calico insists\n`,
    );
};

/** Plans the run, prints warnings, brings up the steps, and prints the result. */
const upLocked = async (options: Options, telling: LessonOptions | undefined): Promise<void> => {
  const seconds = (): number => Math.round(performance.now()) / 1000; // since the start of the program
  await refuseDuringExercise();
  const plan = await planUp(options);
  const { lab, state } = plan;
  const last = plan.asked.to;
  await printWarnings(plan, options);
  const steps = stepsWith(lab);
  const todo = stepsUntil(last, steps);
  refuseUnknownPause(options.pause, steps);
  if (telling) process.stderr.write(asTyped(skippedPauses(telling, steps, state)));
  if (telling && hasNoPause(telling, todo, state)) return;

  const stopped = await takeSteps(plan, { options, telling, steps, todo }).then(
    () => false,
    (error: unknown) => {
      if (error instanceof Stopped) return true;
      throw error;
    },
  );
  if (options.json) return printJson({ event: 'done', ok: true, seconds: seconds() });
  if (telling?.only) return;
  if (stopped) return void process.stdout.write(asTyped(`\n${words[telling?.language ?? 'en'].stopped}\n`));
  if (options.pause && telling && todo.length === steps.length)
    return void process.stdout.write(asTyped(`\n${await farewellWords(steps, telling.language)}\n`));
  if (!options.dryRun) process.stdout.write(asTyped(`${closingWords(todo.length, steps.length, seconds(), last)}\n`));
};

/** Brings up the lab; `telling` are the options of the lessons meanwhile. */
export const up = async (options: Options, telling = parseLessonOptions(options)): Promise<void> => {
  // Takes the lock before the lab is read, or another command could change it meanwhile. Without root nothing is
  // changed.
  const bringUp = (): Promise<void> => upLocked(options, telling);
  await (options.dryRun || process.getuid?.() !== 0 ? bringUp() : withLock(paths.lock, bringUp));
};
