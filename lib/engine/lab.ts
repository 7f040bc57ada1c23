import { isIPv4 } from 'node:net';
import type { HostFacts, MachineNow, Resolver } from '../host/facts.ts';
import { Bug } from './errors.ts';
import { addressIn, isPublic, overlap } from './networks.ts';
import type { Language, Text } from './text.ts';

export const cnis = ['calico', 'bridge'] as const;
export type Cni = (typeof cnis)[number];
/**
 * Pod Security Standards that can hold in a namespace without a label of its own
 * (kubernetes.io/docs/concepts/security/pod-security-standards).
 */
export const podSecurityLevels = ['privileged', 'baseline'] as const;
export type PodSecurity = (typeof podSecurityLevels)[number];
export const pkiProfiles = ['components', 'guide'] as const;
export type PkiProfile = (typeof pkiProfiles)[number];
/** Programs that can supervise the components. */
export const supervisorNames = ['systemd', 'tmux'] as const;
export type SupervisorName = (typeof supervisorNames)[number];

/** What a person wants otherwise in the template of a certificate; {{variables}} are in it. */
export interface OwnTemplate {
  readonly CN?: string;
  readonly names?: readonly { readonly [part in 'C' | 'ST' | 'L' | 'O' | 'OU']?: string }[];
  readonly hosts?: readonly string[];
  readonly years?: number;
  readonly days?: number;
  readonly key?: { readonly algo?: 'rsa'; readonly size: number };
}

/** A CA that was given, and what of it is not secret. */
export interface GivenCa {
  /** SHA-256 of its certificate. */
  readonly fingerprint: string;
  /** Files that it was given in. */
  readonly certificate: string;
  readonly key: string;
  /** Its end, as ISO 8601. */
  readonly ends: string;
  /** What a server shows behind its own certificate, as PEM: nothing under a root. */
  readonly chain: string;
}

/** The settings of the cluster on this machine, resolved once by `hardway up` and kept in the state file. */
export interface Lab {
  /** Version of its Kubernetes, such as v1.36.3. */
  readonly kubernetes: string;
  readonly node: { readonly name: string; readonly address: string; readonly interface: string };
  readonly podCIDR: string;
  readonly serviceCIDR: string;
  /** First address of serviceCIDR: the `kubernetes` Service. */
  readonly apiServiceAddress: string;
  /** Tenth address of serviceCIDR: the DNS Service. */
  readonly dnsAddress: string;
  readonly domain: string;
  readonly cni: Cni;
  readonly pki: PkiProfile;
  /** What a Pod may be in a namespace that does not say it itself. */
  readonly podSecurity: PodSecurity;
  readonly supervisor: SupervisorName;
  /** Ids of the steps that it has beside those of every lab. */
  readonly with: readonly string[];
  /** Mirror that is asked before the registry of an image. */
  readonly registryMirror?: string;
  /** The CA of the cluster, where it was given. */
  readonly ca?: GivenCa;
  /** What is otherwise in certificates, by their names. */
  readonly templates?: Readonly<Record<string, OwnTemplate>>;
  readonly machine: MachineFacts;
}

/** Processor architectures that a lab runs on, by their Go names. */
export type Arch = 'amd64' | 'arm64';

/** Facts of this machine on which flags and settings depend. */
export interface MachineFacts {
  readonly arch: Arch;
  readonly cgroup: 'v1' | 'v2';
  /** True if a process may lower oom_score_adj (CAP_SYS_RESOURCE). If not, containerd must be told, or runc fails. */
  readonly canLowerOomScoreAdj: boolean;
  /** True if nf_conntrack_max is writable; inside a network namespace it is not. */
  readonly canSetConntrackLimits: boolean;
  /**
   * Path of a resolv.conf with name servers that Pods can ask; absent where the machine has none that a Pod can reach.
   */
  readonly resolvConf?: string;
  /** Name servers in it; absent in a lab of hardway 0.1. */
  readonly nameServers?: readonly string[];
  readonly swap: boolean;
  readonly ufw: boolean;
}

/** Node's names of processor architectures to Kubernetes' names. */
export const architectures: Readonly<Record<string, Arch>> = { x64: 'amd64', arm64: 'arm64' };

/** The fields of a lab that are chosen; the others follow from them and from the machine. */
type Choice = Omit<Lab, 'node' | 'apiServiceAddress' | 'dnsAddress' | 'machine'>;

/** Tells whether CoreDNS, which asks this name server for a Pod, would ask itself: it is this machine or in the cluster. */
const leadsBack = (server: string, own: readonly string[]): boolean => {
  const address = server.replace(/^::ffff:/i, '');
  if (address === '::1' || address === '::' || /^(127|0)\./.test(address)) return true;
  return isIPv4(address) && own.some((cidr) => overlap(`${address}/32`, cidr));
};

/**
 * Chooses the resolv.conf for Pods, without a name server that leads back: systemd-resolved's 127.0.0.53, or the DNS
 * Service of the lab itself. CoreDNS would ask itself without end.
 */
const resolverFor = ({ resolvers }: MachineNow, own: readonly string[]): Resolver | undefined =>
  resolvers.find(({ servers }) => servers.length > 0 && !servers.some((server) => leadsBack(server, own)));

/** Returns the facts of a machine on which the settings of a lab with these networks depend. */
const machineFor = (
  found: MachineNow,
  { podCIDR, serviceCIDR }: Pick<Lab, 'podCIDR' | 'serviceCIDR'>,
): Omit<MachineFacts, 'arch'> => {
  const resolver = resolverFor(found, [podCIDR, serviceCIDR]);
  return {
    cgroup: found.cgroup,
    canLowerOomScoreAdj: found.canLowerOomScoreAdj,
    canSetConntrackLimits: found.canSetConntrackLimits,
    ...(resolver && { resolvConf: resolver.path, nameServers: resolver.servers }),
    swap: found.swap,
    ufw: found.ufw,
  };
};

/**
 * Says what has changed on a machine since its lab was made, where the lab no longer fits it; undefined where it fits.
 * Swap or a firewall that was turned off harms nothing.
 */
export const changeOf = (lab: Lab, found: MachineNow): string | undefined => {
  const was = lab.machine;
  const now = machineFor(found, lab);
  const servers = ({ nameServers = [] }: Partial<MachineFacts>): string => nameServers.join(', ') || 'none';
  if (now.swap && !was.swap) return 'swap was off, is now on: the kubelet does not start again with it';
  if (now.ufw && !was.ufw) return 'ufw was off, is now on: it drops the packets of Pods';
  if (now.cgroup !== was.cgroup)
    return `cgroups were ${was.cgroup}, are now ${now.cgroup}: the kubelet needs another driver`;
  const knew = was.resolvConf === undefined || was.nameServers !== undefined;
  if (knew && servers(now) !== servers(was))
    return `the name servers were ${servers(was)}, are now ${servers(now)}: CoreDNS asks those of before`;
  return undefined;
};

/** Makes the lab for this machine, which must be fit. */
export const labOf = (found: HostFacts, choice: Choice): Lab => {
  const { node } = found;
  const { podCIDR, serviceCIDR, ...others } = choice;
  const arch = architectures[found.arch];
  if (!node || !arch) throw new Bug('a lab was asked for on a machine that preflight refuses');
  return {
    node: { name: found.hostName.toLowerCase(), ...node },
    podCIDR,
    serviceCIDR,
    apiServiceAddress: addressIn(serviceCIDR, 1),
    dnsAddress: addressIn(serviceCIDR, 10),
    ...others,
    machine: { arch, ...machineFor(found, choice) },
  };
};

const guidePkiWarning: Text = {
  en: "PKI guide: one certificate, of system:masters, for every component. It is here to show why that is bad: whoever reads one component's key owns the cluster",
  fr: 'PKI guide : un seul certificat, de system:masters, pour tous les composants. Il est là pour montrer pourquoi c’est une mauvaise idée : qui lit la clé d’un composant possède le cluster',
};

const publicWarning = (field: string, cidr: string): Text => ({
  en: `${field} ${cidr} has addresses of the internet: from this machine and its Pods nobody reaches their owners as long as the lab is up`,
  fr: `${field} ${cidr} contient des adresses d’Internet : tant que le lab existe, ni cette machine ni ses Pods n’atteignent ceux à qui elles appartiennent`,
});

/** Returns the warnings for a lab: that it has the guide's PKI, and networks of others. */
export const warningsOf = ({ pki, podCIDR, serviceCIDR }: Lab, language: Language): readonly string[] => {
  const networks = Object.entries({ podCIDR, serviceCIDR }).filter(([, cidr]) => isPublic(cidr));
  return [
    ...(pki === 'guide' ? [guidePkiWarning] : []),
    ...networks.map(([field, cidr]) => publicWarning(field, cidr)),
  ].map((text) => text[language]);
};

/** A lab for explain on a machine without one, or for a user who is not root. */
export const exampleLab: Lab = {
  kubernetes: 'v1.36.3',
  node: { name: 'kubernetes', address: '10.240.0.10', interface: 'eth0' },
  podCIDR: '10.200.0.0/16',
  serviceCIDR: '10.32.0.0/24',
  apiServiceAddress: '10.32.0.1',
  dnsAddress: '10.32.0.10',
  domain: 'cluster.local',
  cni: 'calico',
  pki: 'components',
  podSecurity: 'baseline',
  supervisor: 'systemd',
  with: [],
  machine: {
    arch: 'amd64',
    cgroup: 'v2',
    canLowerOomScoreAdj: true,
    canSetConntrackLimits: true,
    swap: false,
    ufw: false,
  },
};
