import { resolve } from 'node:path';
import { hasTmux } from '../../lib/daemons/tmux.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { architectures, type Cni, type GivenCa, type Lab, labOf, type SupervisorName } from '../../lib/engine/lab.ts';
import { allLeaves } from '../../lib/engine/leaves.ts';
import { type LedgerEntry, readLedger, supervisorIn } from '../../lib/engine/ledger.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import {
  type Given,
  readSettings,
  type SettingOptions,
  type Settings,
  settings,
  settingsFrom,
} from '../../lib/engine/settings.ts';
import { readState, type State } from '../../lib/engine/state.ts';
import { type Context, needsOf } from '../../lib/engine/step.ts';
import { gatherFacts, type HostFacts } from '../../lib/host/facts.ts';
import { paths } from '../../lib/host/paths.ts';
import { requireClock } from '../../lib/pki/clock.ts';
import { readGivenCa } from '../../lib/pki/given.ts';
import { isAuthority } from '../../lib/pki/templates.ts';
import { givenIn, ownTemplatesFor, requestsFor } from '../../steps/certificates.ts';
import { components, everyStep, extras, stepIds, stepsWith } from '../../steps/index.ts';
import { modules } from '../../steps/preflight.ts';
import { refuseLostLab } from '../lab.ts';
import { findings } from './fitness.ts';
import { kubernetesFor, refuseSkew } from './kubernetes.ts';
import type { Finding } from './leftovers.ts';
import { placesUsed } from './places.ts';

/** Options of a lab, as typed. */
export interface RequestedOptions extends SettingOptions {
  readonly to?: string;
  readonly with?: string;
  readonly from?: string;
}

/** What is asked for, wherever it was said. An absent setting keeps the lab's value, or gets the default. */
export interface Asked extends Omit<Given, 'source'> {
  readonly source: Context['source'];
  /** Id of the last step of the run. */
  readonly to: string;
  readonly extra?: string;
}

/** Returns where programs and images come from. Throws UserError for a file or folder that would not be used. */
const sourceOf = (kind: Settings['source'], from: string | undefined): Asked['source'] => {
  if (kind !== 'dir' && kind !== 'bundle' && from !== undefined)
    throw new UserError(
      `--from names the folder of --source dir or the file of --source bundle, not of --source ${kind}`,
      `--source dir --from ${from}`,
    );
  if (kind === 'bundle' && !from)
    throw new UserError('--source bundle needs the file that has everything', '--source bundle --from FILE');
  return { kind, ...(from && { from: resolve(from) }) };
};

const address = /^https?:\/\//;

/**
 * Parses the options, and takes what they leave open from the environment and the settings file. Throws UserError for
 * the first invalid one, with the nearest valid value.
 */
export const parseOptions = (
  options: RequestedOptions,
  environment: Readonly<Record<string, string | undefined>> = {},
  file: Given = {},
): Asked => {
  const { with: extra } = options;
  const to = parseChoice('step', stepIds, options.to ?? stepIds.at(-1) ?? '');
  // The address of a bundle that another machine serves is a source as well.
  const served = address.test(options.source ?? '') ? options.source : undefined;
  const others = served ? { ...options, source: 'bundle' } : options;
  const { source = settings.source.default, ...given } = settingsFrom(others, environment, file);
  return {
    ...given,
    to,
    source: served ? { kind: 'bundle', from: served } : sourceOf(source, options.from),
    ...(extra !== undefined && { extra: parseChoice('extra', extras, extra) }),
  };
};

/** State and supervisor of the lab that an earlier run left on this machine. */
export interface Old {
  readonly state: State | undefined;
  /** Supervisor that started the components, from the ledger, because the state file may be missing. */
  readonly supervisor: SupervisorName | undefined;
  /** True if anything of ours is on this machine. */
  readonly begun: boolean;
}

/** Facts of this machine, and which images and programs it can have. */
export interface Facts {
  readonly host: HostFacts;
  /** Network of a lab when none is asked for: Calico as in the guide; where its images cannot be had, the bridge. */
  readonly usualCni: Cni;
  readonly tmux: boolean;
  /** The CA that is given by this run. */
  readonly given?: GivenCa | undefined;
}

/** Returns the interface of the Node's address: the one asked for, else the lab's; undefined for the default route's. */
const interfaceFor = (asked: Asked, { state }: Old): string | undefined => asked.interface ?? state?.lab.node.interface;

const mirrorFor = (asked: Asked, { state }: Old): string | undefined =>
  asked.registryMirror ?? state?.lab.registryMirror;

/**
 * Tells whether a step was applied after which networks, domain, PKI and the Node's name are fixed: every object
 * contains them.
 */
const hasObjects = ({ steps }: State): boolean => everyStep.some(({ id, holdsObjects }) => holdsObjects && id in steps);

/** Throws UserError for a change that a running cluster cannot take. */
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
  if (old.ca?.fingerprint !== lab.ca?.fingerprint)
    throw new UserError(
      `this lab has ${old.ca ? `the CA ${old.ca.certificate}` : 'a CA of its own'}; another one cannot be given while it is up`,
      'hardway reset --to certificates, then hardway up with the other CA; or leave --ca-cert and --ca-key out',
    );
  refuseSkew(old.kubernetes, lab.kubernetes);
  // A Node is identified by its name: under another one the kubelet could not use the Pods and volumes that are here.
  if (old.node.name !== lab.node.name)
    throw new UserError(
      `this machine is now named ${lab.node.name}, but its Node ${old.node.name}`,
      `hostnamectl set-hostname ${old.node.name}; or hardway reset, then hardway up`,
    );
};

/** Throws UserError for a given CA with the guide's certificates: whoever it signs would have etcd and everything else. */
const refuseGuideUnder = ({ ca, pki }: Lab): void => {
  if (ca && pki === 'guide')
    throw new UserError(
      'with --pki guide one CA is that of etcd and of the front proxy too: whoever a given CA has signed would own the cluster',
      'hardway up --pki components with --ca-cert and --ca-key; or --pki guide without them',
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

/** Returns the networks of the lab: those asked for, else the lab's, else the usual ones. */
const networksFor = (asked: Asked, { state }: Old): Pick<Settings, 'podCIDR' | 'serviceCIDR'> => ({
  podCIDR: asked.podCIDR ?? state?.lab.podCIDR ?? settings.podCIDR.default,
  serviceCIDR: asked.serviceCIDR ?? state?.lab.serviceCIDR ?? settings.serviceCIDR.default,
});

/** Returns every reason against the lab that is asked for on this machine, with its remedy. */
export const reasonsAgainst = (asked: Asked, old: Old, { host, usualCni, tmux }: Facts): readonly Finding[] => {
  const wanted = { ...networksFor(asked, old), interface: interfaceFor(asked, old) };
  const cni = asked.cni ?? old.state?.lab.cni ?? usualCni;
  const supervisor = asked.supervisor ?? old.supervisor;
  return [
    ...findings({ found: host, settings: wanted, steps: everyStep, cni, ours: old.begun }),
    ...(supervisor === 'tmux' && !host.apt && !tmux ? [noTmux] : []),
  ];
};

/**
 * Returns the lab for this machine: what is asked for, else as the lab that is here, else as usual. Throws UserError for
 * a machine that is not fit, and for a change that the lab cannot take.
 */
export const planOf = (asked: Asked, old: Old, { host, usualCni, tmux, given }: Facts): Lab => {
  const had = old.state?.lab;
  const kubernetes = kubernetesFor(asked.kubernetes, had?.kubernetes);
  const supervisor = asked.supervisor ?? old.supervisor ?? settings.supervisor.default;
  const registryMirror = mirrorFor(asked, old);
  refuseOtherSupervisor(old.supervisor, supervisor);
  const cni = asked.cni ?? had?.cni ?? usualCni;
  const networks = networksFor(asked, old);
  const { templates } = had ?? {};
  const ca = given ?? had?.ca;
  refuseUnfit(reasonsAgainst(asked, old, { host, usualCni, tmux }));
  const lab = labOf(host, {
    kubernetes,
    ...networks,
    domain: asked.domain ?? had?.domain ?? settings.domain.default,
    cni,
    pki: asked.pki ?? had?.pki ?? settings.pki.default,
    podSecurity: asked.podSecurity ?? had?.podSecurity ?? settings.podSecurity.default,
    supervisor,
    with: [...new Set([...(had?.with ?? []), ...(asked.extra ? [asked.extra] : [])])],
    ...(registryMirror && { registryMirror }),
    ...(ca && { ca }),
    ...(templates && { templates }),
  });
  refuseGuideUnder(lab);
  if (old.state && hasObjects(old.state)) refuseOtherLab(old.state, lab);
  return lab;
};

/**
 * Returns the network of a lab when none is asked for, and why it is not Calico. Throws UserError where Calico is asked for
 * and cannot be had.
 */
const usualCniFor = async (
  asked: Asked,
  old: Old,
  mirror: string | undefined,
  host: HostFacts,
): Promise<{ readonly usualCni: Cni; readonly whyBridge?: string | undefined }> => {
  const had = old.state?.lab.cni;
  const arch = architectures[host.arch];
  if (!arch || asked.cni === 'bridge' || (had && (asked.cni === undefined || asked.cni === had)))
    return { usualCni: had ?? asked.cni ?? 'bridge' }; // nobody has to be asked
  const { requireCalico, whyNoCalico } = await import('../../lib/binaries/calico.ts');
  const where = { cache: paths.cache, arch, source: asked.source, mirror };
  if (asked.cni === 'calico') {
    await requireCalico(where);
    return { usualCni: asked.cni };
  }
  const whyBridge = await whyNoCalico(where);
  return { usualCni: whyBridge === undefined ? 'calico' : 'bridge', whyBridge };
};

/**
 * Looks for the programs in the folder of --from, or for all in the bundle. Throws UserError that names those that are not
 * there or not fit.
 */
const requirePrograms = async ({ kind, from }: Asked['source'], lab: Lab): Promise<void> => {
  if (kind !== 'dir' && kind !== 'bundle') return;
  const needs = needsOf(stepsWith(lab));
  const binaries = [...needs.programs, ...needs.plugins];
  const { arch } = lab.machine;
  if (kind === 'dir') {
    const { fromFolder } = await import('../../lib/binaries/dir.ts');
    await fromFolder({ ...(from && { from }), binaries, images: [], arch });
    return;
  }
  const { requireBundle } = await import('../../lib/binaries/provide.ts');
  const { labImages } = await import('../../lib/binaries/needed.ts');
  await requireBundle({
    source: kind,
    ...(from && { from }),
    binaries,
    images: labImages(lab, needs),
    kubernetes: lab.kubernetes,
    arch,
    cache: paths.cache,
    report: () => undefined,
  });
};

/** Reads the CA that a run is given. Throws UserError where it cannot sign, and for half of it. */
const givenFor = async ({ caCert, caKey }: Asked): Promise<GivenCa | undefined> => {
  if (caCert === undefined && caKey === undefined) return undefined;
  if (caCert === undefined || caKey === undefined)
    throw new UserError(
      caKey === undefined
        ? `--ca-cert ${caCert} without --ca-key: what the CA signs is signed here`
        : `--ca-key ${caKey} without --ca-cert: its certificate is needed as well`,
      'hardway up --ca-cert ca.pem --ca-key ca-key.pem',
    );
  return (await readGivenCa({ certificate: resolve(caCert), key: resolve(caKey) })).ca;
};

/** Returns the lab with the templates that this run is given. Throws UserError for another CA of a cluster that is up. */
const withTemplates = async (lab: Lab, { certsTemplates }: Asked, { state }: Old): Promise<Lab> => {
  if (certsTemplates === undefined) return lab;
  const templates = await ownTemplatesFor(lab, resolve(certsTemplates));
  const wanted = { ...lab, templates };
  if (!state || !hasObjects(state)) return wanted;
  const authorities = async (one: Lab) => JSON.stringify((await requestsFor(one)).filter(isAuthority));
  if ((await authorities(wanted)) !== (await authorities(lab)))
    throw new UserError(
      `--certs-templates ${certsTemplates}: a CA of this lab cannot become another one while it is up`,
      'hardway reset --to certificates, then hardway up with it; hardway certs rotate ca replaces a CA as it is',
    );
  return wanted;
};

export interface UpPlan {
  readonly lab: Lab;
  readonly asked: Asked;
  /** Seconds that the checks of a step may take to pass. */
  readonly deadline: number;
  /** State of the lab that is here. */
  readonly state: State | undefined;
  readonly ledgerEntries: readonly LedgerEntry[];
  /** Why a new lab has not Calico, where nobody asked for the bridge. */
  readonly whyBridge: string | undefined;
}

/** Reads what an earlier run left on this machine; only root can. Throws UserError where it cannot be read. */
export const readOld = async (): Promise<{ readonly old: Old; readonly ledgerEntries: readonly LedgerEntry[] }> => {
  const root = process.getuid?.() === 0;
  const [state, ledgerEntries] = await Promise.all([
    root ? readState(paths.state) : undefined,
    root ? readLedger(paths.ledger) : [],
  ]);
  const begun = state !== undefined || ledgerEntries.length > 0;
  return { old: { state, begun, supervisor: supervisorIn(ledgerEntries) }, ledgerEntries };
};

/** Gathers the facts of this machine on which a lab depends. */
export const factsFor = (asked: Asked, old: Old): Promise<HostFacts> =>
  gatherFacts(interfaceFor(asked, old), {
    units: components,
    paths: allLeaves(everyStep.map(({ leaves }) => leaves)).paths,
    places: placesUsed,
    modules,
  });

/**
 * Reads the input of `planOf` and calls it. Changes nothing. Throws UserError as `planOf` does, for an invalid
 * settings file, and for a clock that cannot be right.
 */
export const planUp = async (options: RequestedOptions): Promise<UpPlan> => {
  const asked = parseOptions(options, process.env, await readSettings(paths.settings));
  const { old, ledgerEntries } = await readOld();
  if (process.getuid?.() === 0) await refuseLostLab(ledgerEntries);
  const host = await factsFor(asked, old);
  const { usualCni, whyBridge } = await usualCniFor(asked, old, mirrorFor(asked, old), host);
  const tmux = host.apt || (await hasTmux());
  const given = await givenFor(asked);
  const lab = await withTemplates(planOf(asked, old, { host, usualCni, tmux, given }), asked, old);
  const replaced = given && given.fingerprint !== old.state?.lab.ca?.fingerprint ? givenIn(lab) : [];
  await requireClock({ given: givenIn(lab), replaced });
  await requirePrograms(asked.source, lab);
  return {
    lab,
    asked,
    deadline: asked.deadline ?? settings.deadline.default,
    state: old.state,
    ledgerEntries,
    whyBridge,
  };
};
