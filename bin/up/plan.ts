import { hasTmux } from '../../lib/daemons/tmux.ts';
import { UserError } from '../../lib/engine/errors.ts';
import {
  architectures,
  type Cni,
  cnis,
  type Lab,
  labOf,
  type PkiProfile,
  pkiProfiles,
  type SupervisorName,
  supervisorNames,
} from '../../lib/engine/lab.ts';
import { type LedgerEntry, readLedger, supervisorIn } from '../../lib/engine/ledger.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { mirrorOf, readSettings, type Settings } from '../../lib/engine/settings.ts';
import { readState, type State } from '../../lib/engine/state.ts';
import { type Context, sources } from '../../lib/engine/step.ts';
import { gatherFacts, type HostFacts } from '../../lib/host/facts.ts';
import { paths } from '../../lib/host/paths.ts';
import { components, everyStep, extras, stepIds } from '../../steps/index.ts';
import { type Finding, findings } from './fitness.ts';

/** The options of a lab, as they were typed. */
export interface RequestedOptions {
  readonly to?: string;
  readonly cni?: string;
  readonly pki?: string;
  readonly supervisor?: string;
  readonly with?: string;
  readonly source: string;
  readonly from?: string;
  readonly interface?: string;
  readonly registryMirror?: string;
}

/** What is asked for of a lab, each a value that there is. What was not asked for stays as it was, or is as usual. */
export interface Asked {
  readonly source: Context['source'];
  /** The last step that is taken. */
  readonly to: string;
  readonly cni?: Cni;
  readonly pki?: PkiProfile;
  readonly supervisor?: SupervisorName;
  readonly extra?: string;
  readonly interface?: string;
  readonly registryMirror?: string;
}

/** Reads the options. Throws UserError, with the nearest value that there is, for the first that cannot be. */
export const parseOptions = (options: RequestedOptions): Asked => {
  const { cni, pki, supervisor, with: extra, from, interface: name, registryMirror: mirror } = options;
  return {
    to: parseChoice('step', stepIds, options.to ?? stepIds.at(-1) ?? ''),
    source: { kind: parseChoice('source', sources, options.source), ...(from && { from }) },
    ...(cni !== undefined && { cni: parseChoice('network', cnis, cni) }),
    ...(pki !== undefined && { pki: parseChoice('PKI', pkiProfiles, pki) }),
    ...(supervisor !== undefined && { supervisor: parseChoice('supervisor', supervisorNames, supervisor) }),
    ...(extra !== undefined && { extra: parseChoice('extra', extras, extra) }),
    ...(name !== undefined && { interface: name }),
    ...(mirror !== undefined && { registryMirror: mirrorOf(mirror) }),
  };
};

/** What an earlier run has left here. */
export interface Old {
  readonly state: State | undefined;
  /** Under whom components were started; the ledger tells, as the state may be lost. */
  readonly supervisor: SupervisorName | undefined;
  /** Whether anything of ours is on this machine. */
  readonly begun: boolean;
}

/** What this machine is, and what is within its reach. */
export interface Facts {
  readonly host: HostFacts;
  /** The network of a lab that is asked for none: Calico as in the guide; where its images cannot be had, the bridge. */
  readonly usualCni: Cni;
  readonly tmux: boolean;
}

/** The interface of the Node's address: the one asked for, else the file's, else the lab's; undefined for the default route's. */
const interfaceFor = (asked: Asked, file: Settings, { state }: Old): string | undefined =>
  asked.interface ?? file.interface ?? state?.lab.node.interface;

const mirrorFor = (asked: Asked, file: Settings, { state }: Old): string | undefined =>
  asked.registryMirror ?? file.registryMirror ?? state?.lab.registryMirror;

/** The steps after which networks, domain, PKI and the Node's name are fixed: they are in every object. */
const hasObjects = ({ steps }: State): boolean => everyStep.some(({ id, holdsObjects }) => holdsObjects && id in steps);

/** Refuses what cannot be changed under a cluster's feet. */
const refuseOtherLab = ({ lab: old }: State, lab: Lab): void => {
  const fixed = ['podCIDR', 'serviceCIDR', 'domain', 'cni', 'pki'] as const;
  const changed = fixed.filter((field) => old[field] !== lab[field]);
  if (changed.length > 0)
    throw new UserError(
      changed
        .map((field) => `this lab has ${field} ${old[field]}; it cannot become ${lab[field]} while it is up`)
        .join('\n'),
      'hardway reset --to certificates, then hardway up with the new settings; or leave them as they are',
    );
  // A Node is its name: under another one the kubelet would be a stranger to the Pods and volumes that are here.
  if (old.node.name !== lab.node.name)
    throw new UserError(
      `this machine is now named ${lab.node.name}, but its Node ${old.node.name}`,
      `hostnamectl set-hostname ${old.node.name}; or hardway reset, then hardway up`,
    );
};

const refuseOtherSupervisor = (old: SupervisorName | undefined, wanted: SupervisorName): void => {
  if (old === undefined || wanted === old) return;
  throw new UserError(
    `this lab has supervisor ${old}; it cannot become ${wanted} while components run under it`,
    `hardway reset --to kubeconfigs, then hardway up --supervisor ${wanted}`,
  );
};

const noTmux: Finding = {
  problem: 'tmux is not here, and neither is apt-get to install it with',
  hint: 'install tmux, or hardway up --supervisor systemd',
};

const refuseUnfit = (problems: readonly Finding[]): void => {
  if (problems.length === 0) return;
  const list = problems.map(({ problem, hint }) => `  ${problem}\n    -> ${hint}`).join('\n');
  throw new UserError(
    `this machine is not fit; nothing was changed\n${list}`,
    'hardway up, when these are gone; or hardway vm up',
  );
};

/**
 * The lab that this machine is to have: what is asked for now, over the settings file, over what is here already, on
 * this machine. Throws UserError for a machine that is not fit, and for what cannot become of the lab that is here.
 */
export const planOf = (asked: Asked, file: Settings, old: Old, { host, usualCni, tmux }: Facts): Lab => {
  const had = old.state?.lab;
  const supervisor = asked.supervisor ?? old.supervisor ?? 'systemd';
  const wantedInterface = interfaceFor(asked, file, old);
  const registryMirror = mirrorFor(asked, file, old);
  refuseOtherSupervisor(old.supervisor, supervisor);
  refuseUnfit([
    ...findings({ found: host, settings: { ...file, interface: wantedInterface }, steps: everyStep, ours: old.begun }),
    ...(supervisor === 'tmux' && !host.apt && !tmux ? [noTmux] : []),
  ]);
  const lab = labOf(host, {
    podCIDR: file.podCIDR,
    serviceCIDR: file.serviceCIDR,
    domain: file.domain,
    cni: asked.cni ?? had?.cni ?? usualCni,
    pki: asked.pki ?? had?.pki ?? 'components',
    supervisor,
    with: [...new Set([...(had?.with ?? []), ...(asked.extra ? [asked.extra] : [])])],
    ...(registryMirror && { registryMirror }),
  });
  if (old.state && hasObjects(old.state)) refuseOtherLab(old.state, lab);
  return lab;
};

/** The network of a lab that is asked for none. Throws UserError where Calico is asked for and cannot be had. */
const usualCniFor = async (asked: Asked, old: Old, mirror: string | undefined, host: HostFacts): Promise<Cni> => {
  const had = old.state?.lab.cni;
  const arch = architectures[host.arch];
  if (!arch || asked.cni === 'bridge' || (had && (asked.cni === undefined || asked.cni === had)))
    return had ?? asked.cni ?? 'bridge'; // nobody has to be asked
  const { calicoIsWithinReach, requireCalico } = await import('../../lib/binaries/calico.ts');
  const where = { cache: paths.cache, arch, source: asked.source, mirror };
  if (asked.cni === 'calico') {
    await requireCalico(where);
    return asked.cni;
  }
  return (await calicoIsWithinReach(where)) ? 'calico' : 'bridge';
};

export interface UpPlan {
  readonly lab: Lab;
  readonly asked: Asked;
  /** Seconds that the checks of a step may take to pass. */
  readonly deadline: number;
  /** What is known of a lab that is here already. */
  readonly state: State | undefined;
  readonly ledgerEntries: readonly LedgerEntry[];
}

/** Reads what `planOf` decides by. Changes nothing. Throws UserError as `planOf` does, and for a file that is not right. */
export const planUp = async (options: RequestedOptions): Promise<UpPlan> => {
  const asked = parseOptions(options);
  const root = process.getuid?.() === 0;
  const [state, ledgerEntries, file] = await Promise.all([
    root ? readState(paths.state) : undefined,
    root ? readLedger(paths.ledger) : [],
    readSettings(paths.settings),
  ]);
  const begun = state !== undefined || ledgerEntries.length > 0;
  const old: Old = { state, begun, supervisor: supervisorIn(ledgerEntries) };
  const host = await gatherFacts(interfaceFor(asked, file, old), components);
  const usualCni = await usualCniFor(asked, old, mirrorFor(asked, file, old), host);
  const tmux = host.apt || (await hasTmux());
  const lab = planOf(asked, file, old, { host, usualCni, tmux });
  return { lab, asked, deadline: file.deadline, state, ledgerEntries };
};
