import { detectSupervisor } from '../../lib/daemons/supervisor.ts';
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
import { type LedgerEntry, readLedger } from '../../lib/engine/ledger.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { mirrorOf, readSettings, type Settings } from '../../lib/engine/settings.ts';
import { readState, type State } from '../../lib/engine/state.ts';
import { type Context, sources } from '../../lib/engine/step.ts';
import { gatherFacts } from '../../lib/host/facts.ts';
import { paths } from '../../lib/host/paths.ts';
import { type Finding, findings } from './fitness.ts';

/** What was asked for of a lab; what was not is as it was, or as usual. */
export interface RequestedOptions {
  readonly cni?: string;
  readonly pki?: string;
  readonly supervisor?: string;
  readonly with?: string;
  readonly source: string;
  readonly from?: string;
  readonly interface?: string;
  readonly registryMirror?: string;
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

/** The supervisor asked for, or that of the components that were started already. Throws UserError where they differ. */
const supervisorFor = (asked: string | undefined, had: Lab['supervisor'] | undefined): Lab['supervisor'] => {
  const wanted = parseChoice('supervisor', supervisorNames, asked ?? had ?? 'systemd');
  if (had === undefined || wanted === had) return wanted;
  throw new UserError(
    `this lab has supervisor ${had}; it cannot become ${wanted} while components run under it`,
    `hardway reset --to kubeconfigs, then hardway up --supervisor ${wanted}`,
  );
};

const noTmux: Finding = {
  problem: 'tmux is not here, and neither is apt-get to install it with',
  hint: 'install tmux, or hardway up --supervisor systemd',
};

/** Where images and manifests come from. */
interface ImageSource {
  readonly source: Context['source'];
  readonly mirror: string | undefined;
  readonly nodeArch: string;
}

/** Calico as in the guide; where its images can be had neither from a registry nor from the cache, the bridge. */
const usualCni = async ({ source, mirror, nodeArch }: ImageSource): Promise<Cni> => {
  const arch = architectures[nodeArch];
  if (!arch) return 'bridge';
  const { calicoIsWithinReach } = await import('../../lib/binaries/calico.ts');
  return (await calicoIsWithinReach({ cache: paths.cache, arch, source, mirror })) ? 'calico' : 'bridge';
};

/** The network asked for, if any. Throws UserError where it is Calico and that cannot be expected to come. */
const askedCni = async (cni: string | undefined, { source, mirror, nodeArch }: ImageSource) => {
  if (cni === undefined) return undefined;
  const network = parseChoice('network', cnis, cni);
  const arch = architectures[nodeArch];
  if (network === 'calico' && arch) {
    const { requireCalico } = await import('../../lib/binaries/calico.ts');
    await requireCalico({ cache: paths.cache, arch, source, mirror });
  }
  return network;
};

/** The file's settings, and over them what was asked for now; what was chosen once stays until the lab is reset. */
const settingsWith = async (options: RequestedOptions, lab: Lab | undefined): Promise<Settings> => {
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
  const wanted = asked === undefined ? [] : [parseChoice('extra', extras, asked)];
  return [...new Set([...had, ...wanted])];
};

interface UpPlan {
  readonly lab: Lab;
  readonly settings: Settings;
  readonly source: Context['source'];
  /** What is known of a lab that is here already. */
  readonly state: State | undefined;
  readonly ledgerEntries: readonly LedgerEntry[];
}

/**
 * The lab that this machine is to have: what was asked for, the file's settings, what is here already, what the machine is.
 * Changes nothing. Throws a UserError for a machine that is not fit, and for what cannot become of the lab that is here.
 */
export const planUp = async (options: RequestedOptions): Promise<UpPlan> => {
  const source = { kind: parseChoice('source', sources, options.source), ...(options.from && { from: options.from }) };
  const state = process.getuid?.() === 0 ? await readState(paths.state) : undefined;
  const settings = await settingsWith(options, state?.lab);
  const found = await gatherFacts(settings.interface);

  const ledgerEntries = found.root ? await readLedger(paths.ledger) : [];
  const supply = { source, mirror: settings.registryMirror, nodeArch: found.arch };
  const choice = {
    cni:
      (state && options.cni === state.lab.cni ? state.lab.cni : await askedCni(options.cni, supply)) ??
      state?.lab.cni ??
      (await usualCni(supply)),
    pki: parseChoice('PKI', pkiProfiles, options.pki ?? state?.lab.pki ?? 'components'),
    supervisor: supervisorFor(options.supervisor, detectSupervisor(ledgerEntries)),
    with: withExtras(state, options.with),
  };
  const problems = [
    ...findings({ found, settings, ours: state !== undefined || ledgerEntries.length > 0 }),
    ...(choice.supervisor === 'tmux' && !found.apt && !(await hasTmux()) ? [noTmux] : []),
  ];
  if (problems.length > 0) {
    const list = problems.map(({ problem, hint: cure }) => `  ${problem}\n    -> ${cure}`).join('\n');
    throw new UserError(
      `this machine is not fit; nothing was changed\n${list}`,
      'hardway up, when these are gone; or hardway vm up',
    );
  }
  const lab = labOf(found, settings, choice);
  if (state) {
    refuseOtherLab(state, lab);
    refuseOtherName(state, lab);
  }
  return { lab, settings, source, state, ledgerEntries };
};
