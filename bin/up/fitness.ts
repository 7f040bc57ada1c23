import { personsAccount, renameAccount } from '../../lib/daemons/users.ts';
import { blockedPods } from '../../lib/engine/firewall.ts';
import { architectures, type Cni } from '../../lib/engine/lab.ts';
import { overlap } from '../../lib/engine/networks.ts';
import type { Settings } from '../../lib/engine/settings.ts';
import type { Port, Step } from '../../lib/engine/step.ts';
import { formatBytes } from '../../lib/engine/text.ts';
import type { HostNetwork } from '../../lib/host/facts/network.ts';
import { type HostFacts, hostCommands, type Listener } from '../../lib/host/facts.ts';
import { paths } from '../../lib/host/paths.ts';
import { type Finding, leftovers } from './leftovers.ts';
import { unfitPlaces } from './places.ts';

interface FitnessInput {
  readonly found: HostFacts;
  /** Settings of the lab that is asked for. */
  readonly settings: Pick<Settings, 'podCIDR' | 'serviceCIDR'> & { readonly interface?: string | undefined };
  /** Steps of every lab: their ports must be free, and their interfaces do not count as networks of the machine. */
  readonly steps: readonly Pick<Step, 'id' | 'ports' | 'leaves' | 'account'>[];
  /** Network of its Pods. */
  readonly cni: Cni;
  /** True if a lab of ours is here, whole or half: its traces are not foreign. */
  readonly ours: boolean;
}

const finding = (problem: string, hint: string): readonly Finding[] => [{ problem, hint }];
const noFindings: readonly Finding[] = [];

/** A valid name of a Node (RFC 1123). */
const nodeName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/**
 * Most characters of a Node's name. A certificate has the kubelet as system:node:NAME, and a common name has at most 64
 * (ub-common-name of RFC 5280), which openssl insists on.
 */
const longestNodeName = 64 - 'system:node:'.length;

/** Tells whether a daemon cannot listen on its port beside this listener: their address is the same, or one of them has all. */
const isInTheWay = ({ address, port }: Listener, { number, at }: Port, node: HostFacts['node']): boolean => {
  if (port !== number) return false;
  const own = at === 'loopback' ? '127.0.0.1' : node?.address;
  const bound = address.replace(/%.*/, '').replace(/^\[(?:::ffff:)?(.*)\]$/i, '$1');
  return at === 'everywhere' || ['*', '0.0.0.0', '::', own].includes(bound);
};

/**
 * Tells whether a network of the machine is one that a daemon of ours makes: by its interface, or by its routing
 * protocol.
 */
const isMadeBy =
  ({ interface: name = '', protocol }: HostNetwork) =>
  ({ leaves: { bridges = [], links = [], routes = [] } = {} }: Pick<Step, 'leaves'>): boolean =>
    bridges.includes(name) ||
    links.some((link) => link.test(name)) ||
    routes.some((route) => String(route) === protocol);

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
      : finding(`${formatBytes(found.memoryBytes)} of memory; 1.7 GB are needed`, 'give the VM more memory'),
  ({ found, ours }) => unfitPlaces(found.places, ours),
  ({ found }) =>
    found.missingControllers.flatMap((name) =>
      finding(
        `the kernel has no ${name} cgroup, which the kubelet needs`,
        `boot it with cgroup_enable=${name}; or hardway vm up`,
      ),
    ),
  ({ found }) =>
    found.forbiddenModules.flatMap(({ name, by }) =>
      finding(
        `the kernel module ${name} may not be loaded: ${by}`,
        `remove that line and reboot, or load it before: modprobe ${name}`,
      ),
    ),
  ({ found, ours }) =>
    nodeName.test(found.hostName.toLowerCase()) && (found.hostName.length <= longestNodeName || ours)
      ? noFindings
      : finding(
          `the host name ${JSON.stringify(found.hostName)} cannot name a Node: letters, digits and - only, at most ${longestNodeName}`,
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
  ({ found, steps, ours }) =>
    found.listeners
      .filter((listener) => !(ours && listener.ours))
      .flatMap((listener) =>
        steps
          .filter(({ ports = [] }) => ports.some((port) => isInTheWay(listener, port, found.node)))
          .map((step) => ({ ...listener, step })),
      )
      .filter(({ port, pid }, index, all) => all.findIndex((one) => one.port === port && one.pid === pid) === index)
      .flatMap(({ port, process, pid, step }) =>
        finding(
          `port ${port}, which ${step.id} needs, is in use by ${process}${pid ? ` (pid ${pid})` : ''}`,
          'stop that program or move it to another port',
        ),
      ),
  ({ found, steps, ours }) => (ours ? noFindings : leftovers(found, steps)),
  ({ found }) => {
    const packages = new Set(found.missing.map((command) => hostCommands[command]));
    return found.missing.length === 0 || found.apt
      ? noFindings
      : finding(`missing here: ${found.missing.join(', ')}`, `install the packages ${[...packages].join(', ')}`);
  },
  ({ found: { people }, steps }) =>
    steps.flatMap(({ account }) =>
      account !== undefined && people.includes(account) ? finding(personsAccount(account), renameAccount(account)) : [],
    ),
  ({ found: { node, firewall, ufw }, settings: { podCIDR }, cni }) =>
    blockedPods(firewall, { podCIDR, address: node?.address ?? '0.0.0.0', cni, ufw }).flatMap(({ problem, hint }) =>
      finding(problem, `let them in, and keep the rule over a reboot: ${hint}`),
    ),
  ({ found, steps, ours, settings: { podCIDR, serviceCIDR } }) => {
    const networks = [
      ['podCIDR', podCIDR],
      ['serviceCIDR', serviceCIDR],
    ] as const;
    // cni0, kube-ipvs0 and others have our own networks once a lab is up
    const hosts = ours ? found.networks.filter((network) => !steps.some(isMadeBy(network))) : found.networks;
    const onHost = networks.flatMap(([field, cidr]) =>
      hosts
        .filter((host) => overlap(cidr, host.cidr))
        .slice(0, 1)
        .flatMap((host) =>
          finding(
            `${field} ${cidr} overlaps ${host.cidr} ${host.interface ? `on ${host.interface}` : `of a ${host.type} route`}`,
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

/** Returns every reason against a lab on this machine. */
export const findings = (subject: FitnessInput): readonly Finding[] => rules.flatMap((rule) => rule(subject));
