import { check, deferredCheck } from '../lib/engine/check.ts';
import { UserError } from '../lib/engine/errors.ts';
import { blockedPods } from '../lib/engine/firewall.ts';
import { changeOf } from '../lib/engine/lab.ts';
import type { Context, Step } from '../lib/engine/step.ts';
import { installPackages } from '../lib/host/apt.ts';
import { missingControllers } from '../lib/host/cgroups.ts';
import type { Undo } from '../lib/host/change.ts';
import { readFirewall } from '../lib/host/facts/firewall.ts';
import { nodeNow } from '../lib/host/facts/network.ts';
import { hostCommands, machineNow, missingCommands } from '../lib/host/facts.ts';
import { requireAccess, statIfThere } from '../lib/host/files.ts';
import { canBeLoaded } from '../lib/host/modules.ts';
import { paths } from '../lib/host/paths.ts';
import { homesHere } from '../lib/host/person.ts';
import { CommandFailed, tryRun } from '../lib/host/run.ts';
import { modulesAtStart } from '../lib/host/snapshot/kernel.ts';
import { saveSnapshot, takeSnapshot } from '../lib/host/snapshot.ts';
import { filesAgainst, readSysctl } from '../lib/host/sysctl.ts';
import { fails, says } from './observe.ts';
import { tell } from './tasks.ts';

/** Kernel modules that containers and their networks need, where the kernel has not got them built in. */
export const modules = ['overlay', 'br_netfilter', 'nf_conntrack'];

/** Kernel parameters of a node: routing for Pods, and iptables for bridged packets where the module is there. */
const sysctls: ReadonlyMap<string, string> = new Map([
  ['net.ipv4.ip_forward', '1'],
  ['net.bridge.bridge-nf-call-iptables', '1'],
]);

const installMissing = async ({ host, progress }: Context): Promise<void> => {
  const missing = await missingCommands();
  const packages = [...new Set(missing.flatMap((command) => hostCommands[command] ?? []))];
  if (packages.length === 0) return;
  progress(`apt-get install ${packages.join(' ')}`);
  try {
    await installPackages(packages, host.sh);
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    throw new UserError(
      `this machine lacks ${missing.join(', ')}, and apt-get could not install ${packages.join(' ')}: ${error.words}`,
      `apt-get update && apt-get install ${packages.join(' ')}, then hardway up`,
    );
  }
};

/**
 * Lists the modules that can be loaded and are not. A kernel that has them built in, or a container's, has none to
 * load.
 */
const unloaded = async (): Promise<readonly string[]> => {
  const loadable = await Promise.all(modules.map(canBeLoaded));
  return modules.filter((_, index) => loadable[index]);
};

/** File of the modules that are loaded at boot (modules-load.d(5)). */
const modulesFile = '/etc/modules-load.d/hardway.conf';
/**
 * File of the parameters that are set at boot. The last one that sets a parameter wins, and Debian's 99-sysctl.conf is
 * read after every 99-hardway.conf.
 */
const sysctlFile = '/etc/sysctl.d/zz-hardway.conf';

const loadModules = async ({ host }: Context): Promise<void> => {
  for (const name of await unloaded()) {
    await host.sh(['modprobe', name], { kind: 'module', name });
  }
  await host.writeFile(modulesFile, `${modules.join('\n')}\n`);
};

/** Takes the snapshot of the machine that reset compares with, once, before the first change. */
const saveSnapshotOnce = async ({ host, places }: Context): Promise<void> => {
  const known = host.dryRun || (await statIfThere(paths.snapshot)) || (await statIfThere(paths.state));
  const snapshot = known ? undefined : await takeSnapshot({ homes: await homesHere(), places }, modulesAtStart);
  await host.makeDir(paths.root, 0o711);
  if (snapshot) await saveSnapshot(paths.snapshot, snapshot);
};

/** Comment of our rules in ufw, by which they are known as ours. */
const ufwMark = 'hardway';

/** Lists the rules that were added to ufw, each as the words behind `ufw`, and whether it bears our comment. */
const addedToUfw = async (): Promise<readonly { readonly rule: string; readonly ours: boolean }[]> => {
  const ending = ` comment '${ufwMark}'`;
  const lines = (await tryRun('ufw', ['show', 'added'])).stdout.split('\n');
  return lines
    .filter((line) => line.startsWith('ufw '))
    .map((line) => ({ rule: line.slice(4).replace(ending, ''), ours: line.endsWith(ending) }));
};

/** Returns the undo of a rule of ufw; it is found whatever its comment is. */
const takingOut = (rule: string): Undo => ({
  kind: 'run',
  argv: ['ufw', ...rule.replace(/^(route )?/, '$1delete ').split(' ')],
});

/**
 * Adds the rules to ufw that let packets of Pods to the Node and through it. A rule of ufw survives a reboot, one of
 * iptables does not.
 */
const letPodsThrough = async ({ host, lab: { podCIDR } }: Context): Promise<void> => {
  const known = (await addedToUfw()).map(({ rule }) => rule);
  for (const rule of [`allow from ${podCIDR}`, `route allow from ${podCIDR}`, `route allow to ${podCIDR}`])
    if (!known.includes(rule)) await host.sh(['ufw', ...rule.split(' '), 'comment', ufwMark], takingOut(rule));
};

export const preflight: Step = {
  id: 'preflight',
  title: 'this machine as a node',
  inputs: ({ machine, podCIDR }) => [modules, [...sysctls], machine.ufw && podCIDR],
  traces: [modulesFile, sysctlFile, '/etc/sysctl.d/99-hardway.conf'].map((path) => ({ path })), // the last is of hardway 0.1
  marked: async () => (await addedToUfw()).flatMap(({ rule, ours }) => (ours ? [takingOut(rule)] : [])),
  stallLimit: 15 * 60, // apt-get may wait for another one and then download

  async apply(context) {
    const { host, lab } = context;
    await saveSnapshotOnce(context);
    await host.makeDir(paths.config); // steps that run at the same time write there
    await installMissing(context);
    await loadModules(context);
    const lines: string[] = [];
    for (const [key, value] of sysctls) {
      if (readSysctl(key) === undefined) continue;
      await host.sysctl(key, value);
      lines.push(`${key} = ${value}\n`);
    }
    await host.writeFile(sysctlFile, lines.join(''));
    if (lab.machine.ufw) await letPodsThrough(context);
  },

  teaching: () => ({
    before: [fails('kubectl version', says('not found'))],
    tasks: [
      tell(
        'ip-forward',
        {
          en: 'May this machine pass packets on from one network to another? Type the value.',
          fr: 'Cette machine peut-elle transmettre des paquets d’un réseau à l’autre ? Tapez la valeur.',
        },
        'cat /proc/sys/net/ipv4/ip_forward',
      ),
    ],
  }),

  checks: [
    check('the Node is at the address of this machine', async ({ lab }) => {
      const now = (await nodeNow(lab.node.interface)) ?? (await nodeNow(undefined));
      if (now?.address === lab.node.address) return;
      throw new Error(
        now
          ? `this machine's address was ${lab.node.address}, is now ${now.address}: certificates and flags name the old one; hardway up renews them`
          : `this machine has no IPv4 address any more, it was ${lab.node.address}; a default route is needed`,
      );
    }),
    check('the machine is as the lab was made for it', async ({ lab }) => {
      const change = changeOf(lab, await machineNow());
      if (change) throw new Error(`${change}; hardway up adapts the lab`);
    }),
    deferredCheck('the firewall lets Pods reach this machine and one another', async ({ lab }) => {
      const { podCIDR, cni, node, machine } = lab;
      const place = { podCIDR, cni, address: node.address, ufw: machine.ufw };
      const [blocked] = blockedPods(await readFirewall(), place);
      if (blocked) throw new Error(`${blocked.problem}: ${blocked.hint}`);
    }),
    check('the kernel modules of Pods are loaded', async () => {
      const [name] = await unloaded();
      if (name) throw new Error(`${name} is not loaded`);
    }),
    check('the kernel routes for Pods', async () => {
      for (const [key, value] of sysctls) {
        const now = readSysctl(key);
        if (now === undefined || now === value) continue;
        const [file] = filesAgainst(key, value);
        throw new Error(`${key} is ${now}, not ${value}${file ? `: ${file} sets it; take the line out of it` : ''}`);
      }
    }),
    check('cgroup controllers are there', async () => {
      const [name] = await missingControllers();
      if (name) throw new Error(`the kernel has no ${name} cgroup`);
    }),
    check('only root can list the folder of the lab', () => requireAccess(paths.root, 0o711)),
  ],
};
