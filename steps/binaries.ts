import { access, constants, readlink, stat } from 'node:fs/promises';
import { basename, relative } from 'node:path';
import { binaryPath, isOverwritten } from '../lib/binaries/cache.ts';
import { onTheWay, provisions, withProgress } from '../lib/binaries/needed.ts';
import type { Provided } from '../lib/binaries/provide.ts';
import { createQueue } from '../lib/binaries/queue.ts';
import { productOf, versions } from '../lib/binaries/versions.ts';
import { deferredCheck } from '../lib/engine/check.ts';
import type { Lab } from '../lib/engine/lab.ts';
import { isLinkedBy, type LedgerEntry, readLedger } from '../lib/engine/ledger.ts';
import type { Context, Needs, Step } from '../lib/engine/step.ts';
import { statIfThere } from '../lib/host/files.ts';
import type { Host } from '../lib/host/host.ts';
import { launcher, paths, system } from '../lib/host/paths.ts';
import { fails, says } from './observe.ts';
import { tell } from './tasks.ts';

/** Returns the path of a program. Runtimes look for CNI plugins in /opt/cni/bin. */
const place = (name: string, { plugins }: Needs): string =>
  plugins.includes(name) ? `${system.cniPlugins}/${name}` : `${paths.bin}/${name}`;

const namesOf = ({ programs, plugins }: Needs): readonly string[] => [...programs, ...plugins];

/** Returns the path of a program in the cache. */
const cachedAt = (binary: string, { machine, kubernetes }: Lab): string => {
  const { name, product } = productOf(binary, kubernetes);
  return binaryPath(paths.cache, machine.arch, name, product.version, binary);
};

/** Tells whether two paths lead to the same file. */
const isSameFile = async (one: string, other: string): Promise<boolean> => {
  const [a, b] = await Promise.all([one, other].map((path) => stat(path).catch(() => undefined)));
  return a !== undefined && a.ino === b?.ino && a.dev === b.dev;
};

/** Returns the shell command that puts a program in its place, from the cache or else from its upstream site. */
const placeCommand = async (lab: Lab, path: string): Promise<string> => {
  const { machine, kubernetes } = lab;
  const { plan } = await import('../lib/binaries/release.ts'); // only a transcript asks where files are published
  const binary = basename(path);
  const cached = relative(paths.cache, cachedAt(binary, lab));
  const [file] = plan([binary], machine.arch, kubernetes);
  const member = file?.binaries.get(binary);
  return `place ${path} ${cached} ${file?.url ?? "''"} ${file?.sha256 ?? "''"}${member ? ` ${member}` : ''}`;
};

/** Programs that a person uses, linked for everybody. */
const tools = ['kubectl', 'etcdctl', 'crictl'];

const putInPlace = async ({ host, needs }: Context, name: string, file: string): Promise<void> => {
  await host.linkFile(place(name, needs), file);
  // Not a link into the lab's folder, which only root may read: kubectl is for everybody.
  if (tools.includes(name)) await host.linkFile(`${paths.links}/${name}`, file);
};

/**
 * Puts each program in its place as it comes, one after the other. Images begin to come as well; the steps that need one
 * wait for it. Returns the source of what was missing.
 */
const beginAll = async (context: Context): Promise<Provided['source']> => {
  const { source, binaries: coming } = await provisions(context);
  const placed = await onTheWay(context);
  const turn = createQueue(1);
  for (const [name, file] of coming) {
    const ready = file.then((path) => turn(() => putInPlace(context, name, path)));
    ready.catch(() => undefined); // awaited by the steps that need it, and by the end of this one
    placed.set(name, ready);
  }
  return source;
};

const allInPlace = async (context: Context): Promise<void> => {
  await withProgress(context, Promise.all((await onTheWay(context)).values()));
};

/**
 * Puts the command `hardway` on everybody's PATH, for the hints that name it. Only a link of an earlier run is replaced,
 * as of a checkout that was moved: what else has that name is somebody's own.
 */
export const linkCommand = async (
  host: Pick<Host, 'symlink'>,
  path: string,
  ledger: () => Promise<readonly LedgerEntry[]>,
): Promise<void> => {
  const there = await statIfThere(path);
  if (there && !(there.isSymbolicLink() && isLinkedBy(await ledger(), path, await readlink(path)))) return;
  await host.symlink(path, launcher);
};

export const binaries: Step = {
  id: 'binaries',
  title: 'binaries and images',
  inputs: ({ machine, kubernetes }) => [machine.arch, versions(kubernetes)],
  stallLimit: 60 * 60, // Go compiles kube-apiserver for minutes without a word

  async apply(context) {
    const { host, needs } = context;
    await host.makeDir(paths.bin);
    await host.makeDir(system.cniPlugins);
    await linkCommand(host, `${paths.links}/hardway`, () => readLedger(paths.ledger));
    // A dry run only announces the paths: it must not download.
    if (host.dryRun) for (const name of namesOf(needs)) await putInPlace(context, name, paths.cache);
    // Downloads leave the machine to the steps that have their programs already; a build by Go takes all of it.
    else if ((await withProgress(context, beginAll(context))) !== 'release') await allInPlace(context);
  },

  finish: allInPlace,

  byHand: {
    async file(path, { lab, needs }) {
      const name = basename(path);
      const inPlace = [place(name, needs), `${paths.links}/${name}`].includes(path);
      return inPlace && namesOf(needs).includes(name) ? [await placeCommand(lab, path)] : undefined;
    },
  },

  teaching: () => ({
    before: [fails('etcd --version', says('not found'))],
    tasks: [
      tell(
        'containerd-version',
        { en: 'Which version of containerd is here?', fr: 'Quelle version de containerd est installée ?' },
        'containerd --version',
        /\bv?(\d+\.\d+\.\d+)\b|\bv\d+\.\d+\.\d+\b/g,
      ),
    ],
  }),

  checks: [
    deferredCheck('every program is in its place', async ({ needs }) => {
      for (const name of namesOf(needs)) await access(place(name, needs), constants.X_OK);
    }),
    deferredCheck('no program was overwritten in the cache too', async ({ needs, lab }) => {
      for (const name of namesOf(needs)) {
        const [path, cached] = [place(name, needs), cachedAt(name, lab)];
        if (!(await isSameFile(path, cached)) || !(await isOverwritten(cached))) continue;
        throw new Error(
          `${path} was overwritten, and with it ${cached}, which is the same file; hardway up brings it anew. For a program of your own: rm ${path} first`,
        );
      }
    }),
  ],
};
