import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { architectures } from '../../lib/engine/lab.ts';
import { overlap, type Settings } from '../../lib/engine/settings.ts';
import { type HostFacts, hostCommands } from '../../lib/host/facts.ts';
import { paths } from '../../lib/host/paths.ts';

/** Why hardway will not touch this machine, and what would change that. */
export interface Finding {
  readonly problem: string;
  readonly hint: string;
}

interface FitnessInput {
  readonly found: HostFacts;
  readonly settings: Settings;
  /** A lab of ours is already here, whole or half: its own traces are not foreign. */
  readonly ours: boolean;
}

/** Rounded down: what is too little must not look like enough. */
const gigabytes = (bytes: number): string => `${(Math.floor(bytes / 1e8) / 10).toFixed(1)} GB`;
const finding = (problem: string, cure: string): readonly Finding[] => [{ problem, hint: cure }];
const noFindings: readonly Finding[] = [];

/** The TCP ports that the components listen on. */
const ports: ReadonlyMap<number, string> = new Map([
  [2379, 'etcd'],
  [2380, 'etcd'],
  [6443, 'kube-apiserver'],
  [10248, 'kubelet'],
  [10249, 'kube-proxy'],
  [10250, 'kubelet'],
  [10256, 'kube-proxy'],
  [10257, 'kube-controller-manager'],
  [10259, 'kube-scheduler'],
]);

const leadsTo = (path: string): string | undefined => {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
};

/** Whether a program is one of those in our folder, or what they lead to: the cache, or the folder of --source dir. */
const isOurs = (executable: string): boolean =>
  [paths.bin, paths.cache].some((folder) => executable.startsWith(`${folder}/`)) ||
  leadsTo(`${paths.bin}/${basename(executable)}`) === executable;

/** RFC 1123, as a Node's name must be. */
const nodeName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

const vmInstead = 'for a throw-away VM on this machine: hardway vm up';

const rules: readonly ((subject: FitnessInput) => readonly Finding[])[] = [
  ({ found }) =>
    found.platform === 'linux'
      ? noFindings
      : finding(`this is ${found.platform}, not Linux`, 'run hardway in a Linux VM'),
  ({ found }) =>
    found.arch in architectures
      ? noFindings
      : finding(`the processor is ${found.arch}`, 'hardway needs x86_64 (x64) or arm64'),
  ({ found }) => (found.root ? noFindings : finding('you are not root', 'sudo hardway up')),
  ({ found }) =>
    found.init === 'systemd'
      ? noFindings
      : finding(
          `process 1 is ${found.init || 'unknown'}, not systemd: nothing could supervise the components`,
          vmInstead,
        ),
  ({ found }) => (found.cpus >= 2 ? noFindings : finding(`${found.cpus} CPU; 2 are needed`, 'give the VM another CPU')),
  ({ found }) =>
    found.memoryBytes >= 1.7e9
      ? noFindings
      : finding(`${gigabytes(found.memoryBytes)} of memory; 1.7 GB are needed`, 'give the VM more memory'),
  ({ found }) =>
    found.diskBytes >= 5e9
      ? noFindings
      : finding(`${gigabytes(found.diskBytes)} free below /var/lib; 5 GB are needed`, 'free some or enlarge the disk'),
  ({ found }) =>
    nodeName.test(found.hostName.toLowerCase()) && found.hostName.length <= 63
      ? noFindings
      : finding(
          `the host name ${JSON.stringify(found.hostName)} cannot name a Node: letters, digits and - only, at most 63`,
          'hostnamectl set-hostname kubernetes',
        ),
  ({ found }) =>
    found.hostNameResolves
      ? noFindings
      : finding(
          `the host name ${found.hostName} does not resolve to an address`,
          `add it to /etc/hosts: echo "127.0.1.1 ${found.hostName}" >> /etc/hosts`,
        ),
  ({ found, settings }) =>
    found.node
      ? noFindings
      : finding(
          settings.interface
            ? `the interface ${settings.interface} is not up or has no IPv4 address`
            : 'there is no IPv4 default route, so no address for the Node',
          `ip route add default via ..., or name another: hardway up --interface NAME, or in ${paths.settings}`,
        ),
  ({ found, ours }) =>
    found.listeners
      .filter(({ port, executable }) => ports.has(port) && !(ours && isOurs(executable)))
      .filter(({ port, pid }, index, all) => all.findIndex((one) => one.port === port && one.pid === pid) === index)
      .flatMap(({ port, process, pid }) =>
        finding(
          `port ${port}, which ${ports.get(port)} needs, is in use by ${process}${pid ? ` (pid ${pid})` : ''}`,
          'stop that program or move it to another port',
        ),
      ),
  ({ found, ours }) =>
    ours || found.foreign.length === 0
      ? noFindings
      : finding(
          `another Kubernetes, containerd or etcd is here: ${found.foreign.join(', ')}`,
          `remove it first; ${vmInstead}`,
        ),
  ({ found }) => {
    const packages = new Set(found.missing.map((command) => hostCommands[command]));
    return found.missing.length === 0 || found.apt
      ? noFindings
      : finding(`missing here: ${found.missing.join(', ')}`, `install the packages ${[...packages].join(', ')}`);
  },
  ({ found, settings: { podCIDR, serviceCIDR } }) => {
    const networks = [
      ['podCIDR', podCIDR],
      ['serviceCIDR', serviceCIDR],
    ] as const;
    // cni0, kube-ipvs0 and the like carry our own networks once a lab is up
    const hosts = found.networks.filter(
      ({ interface: name }) => !/^(cni0|cali|vxlan\.calico|tunl0|flannel)/.test(name),
    );
    const onHost = networks.flatMap(([field, cidr]) =>
      hosts
        .filter((host) => overlap(cidr, host.cidr))
        .slice(0, 1)
        .flatMap((host) =>
          finding(
            `${field} ${cidr} overlaps ${host.cidr} on ${host.interface}`,
            `choose another ${field} in ${paths.settings}`,
          ),
        ),
    );
    return overlap(podCIDR, serviceCIDR)
      ? [
          ...finding(`podCIDR ${podCIDR} overlaps serviceCIDR ${serviceCIDR}`, `change one in ${paths.settings}`),
          ...onHost,
        ]
      : onHost;
  },
];

/** Everything that speaks against a lab on this machine, all at once. */
export const findings = (subject: FitnessInput): readonly Finding[] => rules.flatMap((rule) => rule(subject));
