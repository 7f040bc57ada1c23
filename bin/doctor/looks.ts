import { dirname } from 'node:path';
import { askSources, type Sources, siteUrls } from '../../lib/binaries/reach.ts';
import { hasTmux } from '../../lib/daemons/tmux.ts';
import { runChecks } from '../../lib/engine/check.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { architectures } from '../../lib/engine/lab.ts';
import type { LedgerEntry } from '../../lib/engine/ledger.ts';
import { requireOwnPlaces } from '../../lib/engine/own.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import { readSettings } from '../../lib/engine/settings.ts';
import { needsOf } from '../../lib/engine/step.ts';
import { formatBytes } from '../../lib/engine/text.ts';
import { flushTimes } from '../../lib/host/facts/disk.ts';
import { appArmorLog, conntrackUsage, hasAppArmor, inotifyUsage } from '../../lib/host/facts/kernel.ts';
import { nodeNow } from '../../lib/host/facts/network.ts';
import { nearestFolder, placesOf } from '../../lib/host/facts/places.ts';
import { type HostFacts, machineNow } from '../../lib/host/facts.ts';
import { statIfThere } from '../../lib/host/files.ts';
import { faultOfNameServer } from '../../lib/host/names.ts';
import { mtuOf } from '../../lib/host/net.ts';
import { launcher, paths, system } from '../../lib/host/paths.ts';
import { requireClock } from '../../lib/pki/clock.ts';
import { givenIn } from '../../steps/certificates.ts';
import { components, everyStep, stepsWith } from '../../steps/index.ts';
import { refuseLostLab } from '../lab.ts';
import { type Asked, factsFor, type Old, parseOptions, readOld, reasonsAgainst } from '../up/plan.ts';
import {
  type Failed,
  judgeClock,
  judgeConntrack,
  judgeDenials,
  judgeFlushes,
  judgeInotify,
  judgeLab,
  judgeMtu,
  judgeNameServers,
  judgeNoLab,
  judgeSources,
  type Seen,
} from './judge.ts';

/** What is known of this machine; each part is read once, when a look first asks for it. */
export interface Subject {
  readonly root: boolean;
  /** Throws UserError where others than root may change what root runs. */
  readonly requireOwn: () => Promise<void>;
  readonly asked: () => Promise<Asked>;
  readonly lab: () => Promise<{ readonly old: Old; readonly ledgerEntries: readonly LedgerEntry[] }>;
  readonly facts: () => Promise<HostFacts>;
  /** Name of a release site, or of the mirror in its place. */
  readonly site: () => Promise<string>;
  readonly sources: () => Promise<Sources>;
}

const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
};

/** Returns the subject of all looks. PATH has only root's folders, for root, when it returns. */
export const subjectNow = async (signal: AbortSignal): Promise<Subject> => {
  const root = process.getuid?.() === 0;
  const requireOwn = once(async () => (root ? requireOwnPlaces(dirname(dirname(launcher))) : undefined));
  await requireOwn().catch(() => undefined); // a look of its own tells it
  const asked = once(async () => parseOptions({}, process.env, await readSettings(paths.settings)));
  const lab = once(async () => {
    const here = await readOld();
    // Without root the folder of a lab is all that can be seen of it.
    const begun = here.old.begun || (!root && (await statIfThere(paths.root)) !== undefined);
    return { ...here, old: { ...here.old, begun } };
  });
  const { programs, plugins } = needsOf(everyStep.filter(({ extra }) => !extra));
  const arch = architectures[process.arch] ?? 'amd64'; // on any other there is a finding, and nothing to fetch
  const all = [...programs, ...plugins];
  return {
    root,
    requireOwn,
    asked,
    lab,
    facts: once(async () => factsFor(await asked(), (await lab()).old)),
    site: once(async () => new URL(siteUrls(all, arch)[0] ?? '').hostname),
    sources: once(async () => {
      const kubernetes = (await asked()).kubernetes ?? (await lab()).old.state?.lab.kubernetes;
      return askSources(all, { arch, cache: paths.cache, kubernetes, signal });
    }),
  };
};

/** One look at the machine, named by what it looks at. */
export interface Look {
  readonly name: string;
  /** Throws UserError for what it finds wrong at once, anything else where it could not look. */
  readonly look: (subject: Subject, signal: AbortSignal) => Promise<Seen>;
}

const onlyRoot = (what: string): string => `${what}: only root sees that; the same command with sudo`;

const requireRoot = ({ root }: Subject, what: string): void => {
  if (!root) throw new Error(onlyRoot(what));
};

/** Looks at all that preflight judges, the firewall among it. */
const atMachine = async ({ root, asked, lab, facts }: Subject): Promise<Seen> => {
  const [host, wanted, { old }] = await Promise.all([facts(), asked(), lab()]);
  const tmux = host.apt || (await hasTmux());
  const found = { ...host, root: true }; // whoever looks: it says nothing of the machine
  const reasons = reasonsAgainst(wanted, old, { host: found, usualCni: 'bridge', tmux });
  const cause = old.begun ? 'the lab cannot work with it' : 'hardway up refuses a machine with it: no lab could work';
  return {
    found: `${host.cpus} CPUs, ${formatBytes(host.memoryBytes)} of memory, ${host.node ? `${host.node.address} on ${host.node.interface}` : 'no address'}`,
    findings: reasons.map((reason) => ({ ...reason, cause })),
    ...(!root && { unseen: onlyRoot('the firewall, and folders of root') }),
  };
};

const atPlaces = async (subject: Subject): Promise<Seen> => {
  requireRoot(subject, 'who may change what root runs');
  await subject.requireOwn();
  return { found: 'only root may change what root runs', findings: [] };
};

/** Milliseconds that a name server has for its answer. */
const nameServerMs = 2000;

const atNameServers = async ({ site, sources }: Subject): Promise<Seen> => {
  const { resolvers } = await machineNow();
  const all = resolvers.flatMap(({ path, servers }) => servers.map((address) => ({ path, address })));
  const each = all.filter(({ address }, index) => all.findIndex((one) => one.address === address) === index);
  const name = await site();
  const [servers, { missing }] = await Promise.all([
    Promise.all(each.map(async (one) => ({ ...one, fault: await faultOfNameServer(one.address, name, nameServerMs) }))),
    sources(),
  ]);
  return judgeNameServers(servers, missing.length > 0);
};

const atClock = async ({ lab, sources }: Subject): Promise<Seen> => {
  const { state } = (await lab()).old;
  await requireClock({ given: state ? givenIn(state.lab) : [] });
  const { sites, proxy } = await sources();
  return judgeClock([...sites, ...(proxy ? [proxy] : [])]);
};

const atMtu = async ({ asked, lab }: Subject): Promise<Seen> => {
  const node = await nodeNow((await asked()).interface ?? (await lab()).old.state?.lab.node.interface);
  if (!node) throw new Error('there is no interface with a default route');
  return judgeMtu(node.interface, await mtuOf(node.interface));
};

const atDisk = async (subject: Subject): Promise<Seen> => {
  requireRoot(subject, "how fast etcd's disk is");
  const [place] = await placesOf([paths.etcd]);
  return judgeFlushes(await flushTimes(await nearestFolder(paths.etcd)), place ?? { point: '/', type: '' });
};

const atInotify = async (subject: Subject): Promise<Seen> => {
  requireRoot(subject, "root's inotify instances");
  const [usage, { old }] = await Promise.all([inotifyUsage(), subject.lab()]);
  return judgeInotify(usage, old.begun);
};

const atAppArmor = async (subject: Subject): Promise<Seen> => {
  if (!(await hasAppArmor())) return { found: 'not in use here', findings: [] };
  requireRoot(subject, 'what AppArmor denied');
  const { programs, plugins } = needsOf(everyStep);
  const folders = [paths.root, paths.cache, ...Object.values(system), '/run/containerd'];
  return judgeDenials(await appArmorLog(), { programs: [...components, ...programs, ...plugins], folders });
};

/** Milliseconds that one check of a lab has. */
const checkMs = 4500;

const atLab = async (subject: Subject, signal: AbortSignal): Promise<Seen> => {
  if (!subject.root && (await statIfThere(paths.root))) requireRoot(subject, 'the lab on this machine');
  const { old, ledgerEntries } = await subject.lab();
  if (subject.root) await refuseLostLab(ledgerEntries);
  if (!old.state) return judgeNoLab(ledgerEntries.length);
  await subject.requireOwn().catch((error: unknown) => {
    throw new Error(`root runs nothing that others may change: ${error instanceof UserError ? error.message : error}`);
  });
  const { lab, steps: applied } = old.state;
  const steps = stepsWith(lab);
  const context = readOnlyContext(lab, steps);
  const chosen = steps.filter(({ id }) => id in applied);
  const failed = await Promise.all(
    chosen.map(
      async ({ id, checks }): Promise<Failed> => ({
        step: id,
        failures: await runChecks(checks, context, { signal, limitMs: checkMs }),
      }),
    ),
  );
  return judgeLab(chosen.length, failed);
};

/** Every look, in the order in which they are shown. All are made at once. */
export const looks: readonly Look[] = [
  { name: 'machine', look: atMachine },
  { name: 'places', look: atPlaces },
  { name: 'names', look: atNameServers },
  { name: 'clock', look: atClock },
  { name: 'mtu', look: atMtu },
  { name: 'apparmor', look: atAppArmor },
  { name: 'inotify', look: atInotify },
  { name: 'conntrack', look: async () => judgeConntrack(conntrackUsage()) },
  { name: 'disk', look: atDisk },
  { name: 'sources', look: async ({ sources }) => judgeSources(await sources()) },
  { name: 'lab', look: atLab },
];
