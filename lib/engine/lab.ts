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
  readonly machine: Machine;
}

export const cnis = ['calico', 'bridge'] as const;
export type Cni = (typeof cnis)[number];
export const pkiProfiles = ['components', 'guide'] as const;
export type PkiProfile = (typeof pkiProfiles)[number];

/** What we found this machine to be, where a flag or a setting depends on it. */
export interface Machine {
  readonly arch: 'amd64' | 'arm64';
  readonly cgroup: 'v1' | 'v2';
  /** Whether a process may lower an oom_score_adj; without it runc fails unless containerd is told. */
  readonly mayRaiseOomScore: boolean;
  /** Inside a network namespace the conntrack sysctls are not writable. */
  readonly ownConntrack: boolean;
  readonly resolvConf: string;
  readonly swap: boolean;
  readonly ufw: boolean;
}
