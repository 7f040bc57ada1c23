import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { check } from '../lib/engine/check.ts';
import { architectures } from '../lib/engine/lab.ts';
import { overlap, type Settings } from '../lib/engine/settings.ts';
import type { Context, Step } from '../lib/engine/step.ts';
import { hostCommands, nodeNow, type Survey } from '../lib/host/facts.ts';
import { readIfThere, statIfThere } from '../lib/host/files.ts';
import { paths } from '../lib/host/paths.ts';
import { person } from '../lib/host/person.ts';
import { tryRun } from '../lib/host/run.ts';
import { storePicture, takePicture } from '../lib/host/snapshot.ts';

/** Why hardway will not touch this machine, and what would change that. */
export interface Finding {
  readonly problem: string;
  readonly cure: string;
}

interface Subject {
  readonly found: Survey;
  readonly settings: Settings;
  /** A lab of ours is already here, whole or half: its own traces are not foreign. */
  readonly ours: boolean;
}

/** Rounded down: what is too little must not look like enough. */
const gigabytes = (bytes: number): string => `${(Math.floor(bytes / 1e8) / 10).toFixed(1)} GB`;
const finding = (problem: string, cure: string): readonly Finding[] => [{ problem, cure }];
const fine: readonly Finding[] = [];

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

const rules: readonly ((subject: Subject) => readonly Finding[])[] = [
  ({ found }) =>
    found.platform === 'linux' ? fine : finding(`this is ${found.platform}, not Linux`, 'run hardway in a Linux VM'),
  ({ found }) =>
    found.arch in architectures
      ? fine
      : finding(`the processor is ${found.arch}`, 'hardway needs x86_64 (x64) or arm64'),
  ({ found }) => (found.root ? fine : finding('you are not root', 'sudo hardway up')),
  ({ found }) =>
    found.init === 'systemd'
      ? fine
      : finding(
          `process 1 is ${found.init || 'unknown'}, not systemd: nothing could supervise the components`,
          vmInstead,
        ),
  ({ found }) => (found.cpus >= 2 ? fine : finding(`${found.cpus} CPU; 2 are needed`, 'give the VM another CPU')),
  ({ found }) =>
    found.memoryBytes >= 1.7e9
      ? fine
      : finding(`${gigabytes(found.memoryBytes)} of memory; 1.7 GB are needed`, 'give the VM more memory'),
  ({ found }) =>
    found.diskBytes >= 5e9
      ? fine
      : finding(`${gigabytes(found.diskBytes)} free below /var/lib; 5 GB are needed`, 'free some or enlarge the disk'),
  ({ found }) =>
    nodeName.test(found.hostName.toLowerCase()) && found.hostName.length <= 63
      ? fine
      : finding(
          `the host name ${JSON.stringify(found.hostName)} cannot name a Node: letters, digits and - only, at most 63`,
          'hostnamectl set-hostname kubernetes',
        ),
  ({ found }) =>
    found.hostNameResolves
      ? fine
      : finding(
          `the host name ${found.hostName} does not resolve to an address`,
          `add it to /etc/hosts: echo "127.0.1.1 ${found.hostName}" >> /etc/hosts`,
        ),
  ({ found, settings }) =>
    found.node
      ? fine
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
      ? fine
      : finding(
          `another Kubernetes, containerd or etcd is here: ${found.foreign.join(', ')}`,
          `remove it first; ${vmInstead}`,
        ),
  ({ found }) => {
    const packages = new Set(found.missing.map((command) => hostCommands[command]));
    return found.missing.length === 0 || found.apt
      ? fine
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
export const findings = (subject: Subject): readonly Finding[] => rules.flatMap((rule) => rule(subject));

const modules = ['overlay', 'br_netfilter', 'nf_conntrack'];

/** Kernel parameters that a node needs: routing for Pods, and bridged packets seen by iptables where the module is there. */
const sysctls: ReadonlyMap<string, string> = new Map([
  ['net.ipv4.ip_forward', '1'],
  ['net.bridge.bridge-nf-call-iptables', '1'],
]);
const sysctlPath = (key: string): string => `/proc/sys/${key.replaceAll('.', '/')}`;

const installPackages = async ({ host, progress }: Context): Promise<void> => {
  const { survey } = await import('../lib/host/facts.ts');
  const { missing } = await survey();
  const packages = [...new Set(missing.flatMap((command) => hostCommands[command] ?? []))];
  if (packages.length === 0) return;
  progress(`apt-get install ${packages.join(' ')}`);
  await host.sh(
    ['apt-get', 'install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', ...packages],
    ['apt-get', 'purge', '-y', ...packages],
  );
};

/** Those that can be loaded and are not; a kernel in which they are built in, or a container's, has nothing to load. */
const unloaded = async (): Promise<readonly string[]> => {
  const loaded = (await readIfThere('/proc/modules')) ?? '';
  const found = await Promise.all(
    modules.map(async (name) => {
      if (new RegExp(`^${name} `, 'm').test(loaded) || (await statIfThere(`/sys/module/${name}`))) return [];
      return (await tryRun('modprobe', ['--dry-run', '--quiet', name])).code === 0 ? [name] : [];
    }),
  );
  return found.flat();
};

const loadModules = async ({ host }: Context): Promise<void> => {
  for (const name of await unloaded()) {
    await host.sh(['modprobe', name], ['modprobe', '--remove', '--quiet', name]);
  }
  await host.writeFile('/etc/modules-load.d/hardway.conf', `${modules.join('\n')}\n`);
};

/** Takes the picture of the machine that reset compares with, once, before the first change. */
const rememberMachine = async ({ host }: Context): Promise<void> => {
  const known = host.dryRun || (await statIfThere(paths.picture)) || (await statIfThere(paths.state));
  const picture = known ? undefined : await takePicture([...new Set(['/root', (await person()).home])]);
  await host.makeDir(paths.root, 0o700);
  if (picture) await storePicture(paths.picture, picture);
};

export const preflight: Step = {
  id: 'preflight',
  title: 'this machine as a node',

  async apply(context) {
    const { host, lab } = context;
    await rememberMachine(context);
    await host.makeDir(paths.config); // several steps write there, not one after the other
    await installPackages(context);
    await loadModules(context);
    const lines: string[] = [];
    for (const [key, value] of sysctls) {
      if (!(await statIfThere(sysctlPath(key)))) continue;
      await host.sysctl(key, value);
      lines.push(`${key} = ${value}\n`);
    }
    await host.writeFile('/etc/sysctl.d/99-hardway.conf', lines.join(''));
    // ufw drops what Pods send to the node and through it; a rule of its own survives a reboot, an iptables one does not.
    if (lab.machine.ufw) {
      const known = (await tryRun('ufw', ['show', 'added'])).stdout;
      for (const rule of [
        ['allow', 'from', lab.podCIDR],
        ['route', 'allow', 'from', lab.podCIDR],
        ['route', 'allow', 'to', lab.podCIDR],
      ]) {
        if (known.split('\n').includes(`ufw ${rule.join(' ')}`)) continue;
        const remove = rule[0] === 'route' ? ['ufw', 'route', 'delete', ...rule.slice(1)] : ['ufw', 'delete', ...rule];
        await host.sh(['ufw', ...rule], remove);
      }
    }
  },

  healthy: [
    check('the Node is at the address of this machine', async ({ lab }) => {
      const now = (await nodeNow(lab.node.interface)) ?? (await nodeNow(undefined));
      if (now?.address === lab.node.address) return;
      throw new Error(
        now
          ? `this machine's address was ${lab.node.address}, is now ${now.address}: certificates and flags name the old one; hardway up renews them`
          : `this machine has no IPv4 address any more, it was ${lab.node.address}; a default route is needed`,
      );
    }),
    check('the kernel modules of Pods are loaded', async () => {
      const [name] = await unloaded();
      if (name) throw new Error(`${name} is not loaded`);
    }),
    check('the kernel routes for Pods', async () => {
      for (const [key, value] of sysctls) {
        const now = (await readIfThere(sysctlPath(key)))?.trim();
        if (now !== undefined && now !== value) throw new Error(`${key} is ${now}, not ${value}`);
      }
    }),
    check('cgroup controllers are there', async () => {
      const controllers = await readIfThere('/proc/cgroups');
      for (const name of ['cpu', 'memory', 'pids']) {
        if (!new RegExp(`^${name}\\s`, 'm').test(controllers ?? ''))
          throw new Error(`the kernel has no ${name} cgroup`);
      }
    }),
  ],
};
