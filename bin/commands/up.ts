import { Command } from 'commander';
import { supervisorNameIn, supervisorOf } from '../../lib/daemons/supervisor.ts';
import { hasTmux } from '../../lib/daemons/tmux.ts';
import { UserError } from '../../lib/engine/errors.ts';
import {
  architectures,
  type Cni,
  cnis,
  extras,
  type Lab,
  labOf,
  pkiProfiles,
  supervisorNames,
} from '../../lib/engine/lab.ts';
import { languageOf, languages } from '../../lib/engine/language.ts';
import { openLedger, ownedPaths, readLedger } from '../../lib/engine/ledger.ts';
import { takeLock } from '../../lib/engine/lock.ts';
import { oneOf } from '../../lib/engine/nearest.ts';
import { asJson, asLines, asList, printJson } from '../../lib/engine/output.ts';
import { openRun } from '../../lib/engine/runner.ts';
import { mirrorOf, readSettings, type Settings } from '../../lib/engine/settings.ts';
import { readState, type State } from '../../lib/engine/state.ts';
import { type Context, sources } from '../../lib/engine/step.ts';
import { paths } from '../../lib/host/paths.ts';
import { survey } from '../../lib/host/survey.ts';
import { stepIds, stepsWith } from '../../steps/index.ts';
import { type Finding, findings } from '../../steps/preflight.ts';
import { interruptible } from '../interrupt.ts';
import { guideWarning } from '../lab.ts';
import { Stopped } from '../pause.ts';
import { pausesPassed, tale, tellingOf } from '../story.ts';
import { words } from '../words.ts';

export interface Options {
  readonly to?: string;
  readonly cni?: string;
  readonly pki?: string;
  readonly supervisor?: string;
  readonly with?: string;
  readonly source: string;
  readonly from?: string;
  readonly interface?: string;
  readonly registryMirror?: string;
  readonly observe?: boolean;
  readonly pause?: boolean | string;
  readonly lang?: string;
  readonly plain?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Refuses what cannot be changed under a cluster's feet: its networks, its domain and its PKI are in every object. */
const refuseOtherLab = ({ lab: old, steps }: State, lab: Lab): void => {
  if (!('etcd' in steps)) return; // certificates and kubeconfigs are made anew where they no longer fit
  const fixed = ['podCIDR', 'serviceCIDR', 'domain', 'cni', 'pki'] as const;
  const changed = fixed.filter((field) => old[field] !== lab[field]);
  if (changed.length === 0) return;
  throw new UserError(
    changed
      .map((field) => `this lab has ${field} ${old[field]}; it cannot become ${lab[field]} while it is up`)
      .join('\n'),
    'hardway reset --to certificates, then hardway up with the new settings; or leave them as they are',
  );
};

/** A Node is its name: under another one the kubelet would be a stranger to the Pods and volumes that are here. */
const refuseOtherName = ({ lab: old, steps }: State, lab: Lab): void => {
  if (old.node.name === lab.node.name || !('etcd' in steps)) return;
  throw new UserError(
    `this machine is now named ${lab.node.name}, but its Node ${old.node.name}`,
    `hostnamectl set-hostname ${old.node.name}; or hardway reset, then hardway up`,
  );
};

/** An address may change: everything that names it is made anew, and a person is told why. */
const changedAddress = ({ lab: old }: State, lab: Lab): string =>
  old.node.address === lab.node.address
    ? ''
    : `this machine's address was ${old.node.address}, is now ${lab.node.address}: certificates and flags follow\n`;

/** The supervisor asked for, or that of the components that were started already. Throws UserError where they differ. */
const supervisorFor = (asked: string | undefined, had: Lab['supervisor'] | undefined): Lab['supervisor'] => {
  const wanted = oneOf('supervisor', supervisorNames, asked ?? had ?? 'systemd');
  if (had === undefined || wanted === had) return wanted;
  throw new UserError(
    `this lab has supervisor ${had}; it cannot become ${wanted} while components run under it`,
    `hardway reset --to kubeconfigs, then hardway up --supervisor ${wanted}`,
  );
};

const noTmux: Finding = {
  problem: 'tmux is not here, and neither is apt-get to install it with',
  cure: 'install tmux, or hardway up --supervisor systemd',
};

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

/** Where images and manifests come from. */
interface Supply {
  readonly source: Context['source'];
  readonly mirror: string | undefined;
  readonly nodeArch: string;
}

/** Calico as in the guide; where its images can be had neither from a registry nor from the cache, the bridge. */
const usualCni = async ({ source, mirror, nodeArch }: Supply): Promise<Cni> => {
  const arch = architectures[nodeArch];
  if (!arch) return 'bridge';
  const { calicoIsWithinReach } = await import('../../lib/binaries/calico.ts');
  return (await calicoIsWithinReach({ cache: paths.cache, arch, source, mirror })) ? 'calico' : 'bridge';
};

/** The network asked for, if any. Throws UserError where it is Calico and that cannot be expected to come. */
const askedCni = async (cni: string | undefined, { source, mirror, nodeArch }: Supply) => {
  if (cni === undefined) return undefined;
  const network = oneOf('network', cnis, cni);
  const arch = architectures[nodeArch];
  if (network === 'calico' && arch) {
    const { requireCalico } = await import('../../lib/binaries/calico.ts');
    await requireCalico({ cache: paths.cache, arch, source, mirror });
  }
  return network;
};

/** The file's settings, and over them what was asked for now; what was chosen once stays until the lab is reset. */
const settingsWith = async (options: Options, lab: Lab | undefined): Promise<Settings> => {
  const settings = await readSettings(paths.settings);
  const registryMirror =
    options.registryMirror === undefined
      ? (settings.registryMirror ?? lab?.registryMirror)
      : mirrorOf(options.registryMirror);
  return {
    ...settings,
    interface: options.interface ?? settings.interface ?? lab?.node.interface,
    ...(registryMirror && { registryMirror }),
  };
};

/** What the lab has already, and what is asked for now: an extra stays until the lab is reset. */
const withExtras = (state: State | undefined, asked: string | undefined): Lab['with'] => {
  const had = state?.lab.with ?? [];
  const wanted = asked === undefined ? [] : [oneOf('extra', extras, asked)];
  return [...new Set([...had, ...wanted])];
};

/** Brings up what was asked for; `telling` says how the steps are told meanwhile. */
export const up = async (options: Options, telling = tellingOf(options)): Promise<void> => {
  const begin = performance.now();
  const seconds = (): number => Math.round(performance.now() - begin) / 1000;
  const last = oneOf('step', stepIds, options.to ?? 'smoke');
  const source = { kind: oneOf('source', sources, options.source), ...(options.from && { from: options.from }) };
  const dryRun = options.dryRun ?? false;
  const state = process.getuid?.() === 0 ? await readState(paths.state) : undefined;
  const settings = await settingsWith(options, state?.lab);
  const found = await survey(settings.interface);

  const ledgerEntries = found.root ? await readLedger(paths.ledger) : [];
  const supply = { source, mirror: settings.registryMirror, nodeArch: found.arch };
  const choice = {
    cni:
      (state && options.cni === state.lab.cni ? state.lab.cni : await askedCni(options.cni, supply)) ??
      state?.lab.cni ??
      (await usualCni(supply)),
    pki: oneOf('PKI', pkiProfiles, options.pki ?? state?.lab.pki ?? 'components'),
    supervisor: supervisorFor(options.supervisor, supervisorNameIn(ledgerEntries)),
    with: withExtras(state, options.with),
  };
  const problems = [
    ...findings({ found, settings, ours: state !== undefined || ledgerEntries.length > 0 }),
    ...(choice.supervisor === 'tmux' && !found.apt && !(await hasTmux()) ? [noTmux] : []),
  ];
  if (problems.length > 0) {
    const list = problems.map(({ problem, cure }) => `  ${problem}\n    -> ${cure}`).join('\n');
    throw new UserError(
      `this machine is not fit; nothing was changed\n${list}`,
      'hardway up, when these are gone; or hardway vm up',
    );
  }
  const lab = labOf(found, settings, choice);
  if (state) {
    refuseOtherLab(state, lab);
    refuseOtherName(state, lab);
    process.stderr.write(changedAddress(state, lab));
  }
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
