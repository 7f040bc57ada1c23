import { readdirSync, readFileSync } from 'node:fs';
import { statIfThere } from '../files.ts';
import { readSysctl } from '../sysctl.ts';
import { type Section, section } from './section.ts';

/**
 * Kernel parameters that hardway or a daemon changes: kubelet sets vm.* and kernel.* (pkg/kubelet/cm,
 * protectKernelDefaults), kube-proxy nf_conntrack_* and route_localnet, the CNI plugins ip_forward and the bridge's,
 * Calico rp_filter. One list, not one a step, as the snapshot is taken before a lab is chosen. Those without a dot in `net.` belong to the whole kernel, not to a network namespace.
 */
const parameters = [
  'kernel.panic',
  'kernel.panic_on_oops',
  'kernel.keys.root_maxbytes',
  'kernel.keys.root_maxkeys',
  'vm.overcommit_memory',
  'vm.panic_on_oom',
  'net.ipv4.ip_forward',
  'net.bridge.bridge-nf-call-iptables',
  'net.bridge.bridge-nf-call-ip6tables',
  'net.bridge.bridge-nf-call-arptables',
  'net.netfilter.nf_conntrack_max',
  'net.netfilter.nf_conntrack_tcp_be_liberal',
  'net.netfilter.nf_conntrack_tcp_timeout_established',
  'net.netfilter.nf_conntrack_tcp_timeout_close_wait',
  'net.netfilter.nf_conntrack_udp_timeout',
  'net.netfilter.nf_conntrack_udp_timeout_stream',
];

/** Parameters of each network interface, below conf/NAME. */
const ofInterfaces: Readonly<Record<string, readonly string[]>> = {
  ipv4: ['accept_redirects', 'arp_ignore', 'arp_notify', 'forwarding', 'proxy_arp', 'route_localnet', 'rp_filter'],
  ipv6: ['accept_ra', 'disable_ipv6', 'forwarding'],
};

/** Lists the parameters of every interface. A dot in an interface's name is written \ here. */
const interfaceParameters = (): string[] =>
  Object.entries(ofInterfaces).flatMap(([family, names]) => {
    let interfaces: string[] = [];
    try {
      interfaces = readdirSync(`/proc/sys/net/${family}/conf`);
    } catch {} // no IPv6 here
    return interfaces.flatMap((one) => names.map((name) => `net.${family}.conf.${one.replaceAll('.', '\\')}.${name}`));
  });

/** Tells whether this machine has its own kernel. A container shares it with others, who may change it. */
const hasOwnKernel = async (): Promise<boolean> => (await statIfThere('/run/systemd/container')) === undefined;

const loadedModules = (): string => {
  try {
    return readFileSync('/proc/modules', 'utf8');
  } catch {
    return ''; // a kernel without modules
  }
};

/**
 * Text of /proc/modules when this program was started: later it has those that our own looks load, such as udp_diag by
 * ss.
 */
export const modulesAtStart = loadedModules();

/** Records kernel parameters and modules; in a container only the parameters that are its own. */
export const kernel = async (modulesFound = loadedModules()): Promise<Record<string, Section>> => {
  const own = await hasOwnKernel();
  const modules = own ? modulesFound : '';
  const names = [...parameters, ...interfaceParameters()].filter((name) => own || name.startsWith('net.'));
  return {
    'kernel module': section(
      modules
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => [line.split(' ')[0] ?? '', 'loaded']),
    ),
    'kernel parameter': section(
      names.flatMap((name) => {
        const value = readSysctl(name);
        return value === undefined ? [] : [[name, value]];
      }),
    ),
  };
};
