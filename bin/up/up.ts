import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { guideWarning, type Lab } from '../../lib/engine/lab.ts';
import { openLedger, ownedPaths } from '../../lib/engine/ledger.ts';
import { takeLock } from '../../lib/engine/lock.ts';
import { createRunner } from '../../lib/engine/runner.ts';
import type { State } from '../../lib/engine/state.ts';
import { needsOf } from '../../lib/engine/step.ts';
import { languageOf } from '../../lib/engine/text.ts';
import { paths } from '../../lib/host/paths.ts';
import { stepsWith } from '../../steps/index.ts';
import { interruptible } from '../interrupt.ts';
import { Stopped } from '../teach/pause.ts';
import { afterStep, parseLessonOptions, skippedPauses } from '../teach/session.ts';
import { words } from '../teach/words.ts';
import { planUp, type RequestedOptions } from '../up/plan.ts';
import { asJson, asLines, asList, printJson } from '../up/show.ts';

export interface Options extends RequestedOptions {
  readonly observe?: boolean;
  readonly pause?: boolean | string;
  readonly lang?: string;
  readonly plain?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** An address may change: everything that names it is made anew, and a person is told why. */
const changedAddress = ({ lab: old }: State, lab: Lab): string =>
  old.node.address === lab.node.address
    ? ''
    : `this machine's address was ${old.node.address}, is now ${lab.node.address}: certificates and flags follow\n`;

/** How one component is, for the runner. */
const statusOf = (lab: Lab) => async (name: string) => {
  const [status] = await supervisorOf(lab).statuses([name]);
  if (!status) throw new Error(`the supervisor said nothing of ${name}`);
  return status;
};

const closingWords = (steps: number, total: number, seconds: number, last: string): string =>
  steps < total
    ? `\nstopped after ${last}, ${seconds.toFixed(1)} s\nnext: hardway up goes on; hardway status shows what runs`
    : `
The cluster is up, in ${seconds.toFixed(1)} s.
Its kubeconfig: ${paths.kubeconfigs}/admin.conf
Try:
  kubectl get pods --all-namespaces
  kubectl create deployment hello --image=zwindler/vhelloworld --replicas=2
  hardway status`;

/** Brings up what was asked for; `telling` says how the steps are told meanwhile. */
export const up = async (options: Options, telling = parseLessonOptions(options)): Promise<void> => {
  const begin = performance.now();
  const seconds = (): number => Math.round(performance.now() - begin) / 1000;
  const dryRun = options.dryRun ?? false;
  const { lab, asked, deadline, state, ledgerEntries } = await planUp(options);
  const last = asked.to;
  if (state) process.stderr.write(changedAddress(state, lab));
  const warning = guideWarning(lab, languageOf(options.lang));
  if (warning) process.stderr.write(`${warning}\n`);
  const steps = stepsWith(lab);
  const at = steps.findIndex(({ id }) => id === last);
  if (at < 0) throw new UserError(`this lab has no step ${last}`, `hardway up --with ${last}`);
  const todo = steps.slice(0, at + 1);
  if (telling) process.stderr.write(skippedPauses(telling, steps, state));

  const release = dryRun ? () => {} : takeLock(paths.lock);
  const ledger = openLedger(paths.ledger);
  const redrawn = process.stdout.isTTY && process.env['TERM'] !== 'dumb' && !options.plain && !dryRun && !telling;
  const show = options.json ? asJson : redrawn ? asList : asLines({ dryRun });
  let failure: unknown;
  try {
    await interruptible('hardway up goes on from here', (signal) =>
      show(todo, (tell) =>
        createRunner({
          lab,
          steps: todo,
          needs: needsOf(steps),
          source: asked.source,
          signal,
          dryRun,
          sequential: telling !== undefined || lab.supervisor === 'tmux',
          tell,
          ledger,
          state,
          afterwards: afterStep(telling, steps, state, tell),
          deadline,
          owned: ownedPaths(ledgerEntries),
          supervisor: { status: statusOf(lab), lastLog: supervisorOf(lab).lastLog },
        }),
      ),
    );
  } catch (error) {
    failure = error;
  } finally {
    ledger.close();
    release();
  }
  const stopped = failure instanceof Stopped;
  if (stopped) failure = undefined;
  if (options.json) {
    const reason = failure instanceof Error ? { reason: failure.message } : {};
    printJson({ event: 'done', ok: failure === undefined, seconds: seconds(), ...reason });
  }
  if (failure !== undefined) throw failure;
  if (telling?.only) return;
  if (stopped) return void process.stdout.write(`\n${words[telling?.language ?? 'en'].stopped}\n`);
  if (!options.json && !dryRun) process.stdout.write(`${closingWords(todo.length, steps.length, seconds(), last)}\n`);
};
