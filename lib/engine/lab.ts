import type { HostFacts } from '../host/facts.ts';
import { addressIn } from './settings.ts';
import type { Language, Text } from './text.ts';

export const cnis = ['calico', 'bridge'] as const;
export type Cni = (typeof cnis)[number];
export const pkiProfiles = ['components', 'guide'] as const;
export type PkiProfile = (typeof pkiProfiles)[number];
/** Who keeps the components running. */
export const supervisorNames = ['systemd', 'tmux'] as const;
export type SupervisorName = (typeof supervisorNames)[number];

/** The settings of the cluster on this machine, resolved once by `hardway up` and kept in the state file. */
export interface Lab {
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
  readonly supervisor: SupervisorName;
  /** The steps that it has beside those of every lab, by name. */
  readonly with: readonly string[];
  /** Asked for every image before its own registry. */
  readonly registryMirror?: string;
  readonly machine: MachineFacts;
}

/** What we found this machine to be, where a flag or a setting depends on it. */
export interface MachineFacts {
  readonly arch: 'amd64' | 'arm64';
  readonly cgroup: 'v1' | 'v2';
  /** Whether a process may lower an oom_score_adj; without it runc fails unless containerd is told. */
  readonly canLowerOomScoreAdj: boolean;
  /** Inside a network namespace the conntrack sysctls are not writable. */
  readonly canSetConntrackLimits: boolean;
  /** resolv.conf with the name servers that Pods may ask; absent where the machine has none that a Pod can reach. */
  readonly resolvConf?: string;
  readonly swap: boolean;
  readonly ufw: boolean;
}

/** Kubernetes' names of the processor architectures that Node names otherwise. */
export const architectures: Readonly<Record<string, MachineFacts['arch']>> = { x64: 'amd64', arm64: 'arm64' };

/** What of a lab is decided; the rest follows from it and from the machine. */
type Choice = Omit<Lab, 'node' | 'apiServiceAddress' | 'dnsAddress' | 'machine'>;

/** The lab for this machine, which must be fit. */
export const labOf = (found: HostFacts, choice: Choice): Lab => {
  const { node, resolvConf } = found;
  const { podCIDR, serviceCIDR, ...others } = choice;
  const arch = architectures[found.arch];
  if (!node || !arch) throw new Error('a lab was asked for on a machine that preflight refuses');
  return {
    node: { name: found.hostName.toLowerCase(), ...node },
    podCIDR,
    serviceCIDR,
    apiServiceAddress: addressIn(serviceCIDR, 1),
    dnsAddress: addressIn(serviceCIDR, 10),
    ...others,
    machine: {
      arch,
      cgroup: found.cgroup,
      canLowerOomScoreAdj: found.canLowerOomScoreAdj,
      canSetConntrackLimits: found.canSetConntrackLimits,
      ...(resolvConf && { resolvConf }),
      swap: found.swap,
      ufw: found.ufw,
    },
  };
};

const guidePkiWarning: Text = {
  en: "PKI guide: one certificate, of system:masters, for every component. It is here to show why that is bad: whoever reads one component's key owns the cluster",
  fr: 'PKI guide : un seul certificat, de system:masters, pour tous les composants. Il est là pour montrer pourquoi c’est une mauvaise idée : qui lit la clé d’un composant possède le cluster',
};

/** What is said of the guide's PKI wherever a lab has it: it is for looking at, not for leaving it on. */
export const guideWarning = ({ pki }: Lab, language: Language): string | undefined =>
  pki === 'guide' ? guidePkiWarning[language] : undefined;

/** A lab for explaining on a machine that has none, or to somebody who is not root. */
export const exampleLab: Lab = {
  node: { name: 'kubernetes', address: '10.240.0.10', interface: 'eth0' },
  podCIDR: '10.200.0.0/16',
  serviceCIDR: '10.32.0.0/24',
  apiServiceAddress: '10.32.0.1',
  dnsAddress: '10.32.0.10',
  domain: 'cluster.local',
  cni: 'calico',
  pki: 'components',
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
