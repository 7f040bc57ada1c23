import { Command } from 'commander';
import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { cnis, extras, type Lab, pkiProfiles, supervisorNames } from '../../lib/engine/lab.ts';
import { openLedger, ownedPaths } from '../../lib/engine/ledger.ts';
import { takeLock } from '../../lib/engine/lock.ts';
import { oneOf } from '../../lib/engine/nearest.ts';
import { openRun } from '../../lib/engine/runner.ts';
import type { State } from '../../lib/engine/state.ts';
import { sources } from '../../lib/engine/step.ts';
import { languageOf, languages } from '../../lib/engine/text.ts';
import { paths } from '../../lib/host/paths.ts';
import { stepIds, stepsWith } from '../../steps/index.ts';
import { interruptible } from '../interrupt.ts';
import { guideWarning } from '../lab.ts';
import { Stopped } from '../teach/pause.ts';
import { pausesPassed, tale, tellingOf } from '../teach/session.ts';
import { words } from '../teach/words.ts';
import { type Asked, choose } from '../up/plan.ts';
import { asJson, asLines, asList, printJson } from '../up/show.ts';

export interface Options extends Asked {
  readonly to?: string;
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
export const up = async (options: Options, telling = tellingOf(options)): Promise<void> => {
  const begin = performance.now();
  const seconds = (): number => Math.round(performance.now() - begin) / 1000;
  const last = oneOf('step', stepIds, options.to ?? 'smoke');
  const dryRun = options.dryRun ?? false;
  const { lab, settings, source, state, ledgerEntries } = await choose(options);
  if (state) process.stderr.write(changedAddress(state, lab));
  const warning = guideWarning(lab, languageOf(options.lang));
  if (warning) process.stderr.write(`${warning}\n`);
  const steps = stepsWith(lab);
  const at = steps.findIndex(({ id }) => id === last);
  if (at < 0) throw new UserError(`this lab has no step ${last}`, `hardway up --with ${last}`);
  const todo = steps.slice(0, at + 1);
  if (telling) process.stderr.write(pausesPassed(telling, steps, state));

  const release = dryRun ? () => {} : takeLock(paths.lock);
  const ledger = openLedger(paths.ledger);
  const redrawn = process.stdout.isTTY && process.env['TERM'] !== 'dumb' && !options.plain && !dryRun && !telling;
  const show = options.json ? asJson : redrawn ? asList : asLines({ dryRun });
  let failure: unknown;
  try {
    await interruptible('hardway up goes on from here', (signal) =>
      show(todo, (tell) =>
        openRun({
          lab,
          steps: todo,
          source,
          signal,
          dryRun,
          watched: telling !== undefined || lab.supervisor === 'tmux',
          tell,
          ledger,
          state,
          afterwards: tale(telling, steps, state, tell),
          deadline: settings.deadline,
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

export const command = (): Command =>
  new Command('up')
    .description(
      'Brings up a single-node Kubernetes on this machine: certificates, kubeconfigs, then each\ncomponent, started in order and checked before the next one. Goes on where it was stopped.',
    )
    .option('--to <step>', `stop after a step: ${stepIds.join(', ')}`)
    .option('--cni <network>', `network of Pods: ${cnis.join(', ')}; calico where its images can be had`)
    .option(
      '--pki <profile>',
      `certificates: ${pkiProfiles.join(', ')}; guide is one for everything, to see why it is bad`,
    )
    .option(
      '--supervisor <name>',
      `who keeps the components running: ${supervisorNames.join(', ')}; tmux is the guide's look`,
    )
    .option('--with <extra>', `what a lab has only when asked: ${extras.join(', ')}`)
    .option('--source <source>', `where programs and images come from: ${sources.join(', ')}`, 'auto')
    .option('--from <folder>', 'the folder of --source dir')
    .option('--interface <name>', 'interface of the address of the Node; by default that of the default route')
    .option('--registry-mirror <url>', 'asked for every image before its own registry')
    .option('--observe', 'after each step look at what has become true, with the commands that show it')
    .option('--pause [steps]', 'stop after each step, or after those named (kubelet,network), with its lesson')
    .option('--lang <language>', `language of what is taught: ${languages.join(', ')}; from LANG by default`)
    .option('--plain', 'lines only: nothing is drawn twice, as for a screen reader')
    .option('--dry-run', 'say what would be done and touch nothing')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      '\nExamples:\n  sudo hardway up\n  sudo hardway up --to kube-apiserver\n  sudo hardway up --source go --json',
    )
    .action((options: Options) => up(options));
