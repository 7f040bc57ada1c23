import { access, constants } from 'node:fs/promises';
import { basename, relative } from 'node:path';
import { binaryPath } from '../lib/binaries/cache.ts';
import { provisions } from '../lib/binaries/needed.ts';
import { productOf, versions } from '../lib/binaries/versions.ts';
import { check } from '../lib/engine/check.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Needs, Step } from '../lib/engine/step.ts';
import { paths, system } from '../lib/host/paths.ts';

/** Returns the path of a program. Runtimes look for CNI plugins in /opt/cni/bin. */
const place = (name: string, { plugins }: Needs): string =>
  plugins.includes(name) ? `${system.cniPlugins}/${name}` : `${paths.bin}/${name}`;

const namesOf = ({ programs, plugins }: Needs): readonly string[] => [...programs, ...plugins];

/** Returns the shell command that puts a program in its place, from the cache or else from its upstream site. */
const placeCommand = async ({ machine }: Lab, path: string): Promise<string> => {
  const { plan } = await import('../lib/binaries/release.ts'); // only a transcript asks where files are published
  const binary = basename(path);
  const { name, product } = productOf(binary);
  const cached = relative(paths.cache, binaryPath(paths.cache, machine.arch, name, product.version, binary));
  const [file] = plan([binary], machine.arch);
  const member = file?.binaries.get(binary);
  return `place ${path} ${cached} ${file?.url ?? "''"} ${file?.sha256 ?? "''"}${member ? ` ${member}` : ''}`;
};

/** Programs that a person uses, linked for everybody. */
const tools = ['kubectl', 'etcdctl', 'crictl'];

export const binaries: Step = {
  id: 'binaries',
  title: 'binaries and images',
  inputs: ({ machine }) => [machine.arch, versions()],
  stallLimit: 60 * 60, // Go compiles kube-apiserver for minutes without a word

  async apply(context) {
    const { host, needs } = context;
    // A dry run only announces the paths: it must not download.
    const files = host.dryRun
      ? new Map(namesOf(needs).map((name) => [name, paths.cache]))
      : (await provisions(context)).binaries;
    await host.makeDir(paths.bin);
    await host.makeDir(system.cniPlugins);
    for (const [name, file] of files) {
      await host.linkFile(place(name, needs), file);
      // Not a link into the lab's folder, which only root may read: kubectl is for everybody.
      if (tools.includes(name)) await host.linkFile(`${paths.links}/${name}`, file);
    }
  },

  byHand: {
    async file(path, { lab, needs }) {
      const name = basename(path);
      const inPlace = [place(name, needs), `${paths.links}/${name}`].includes(path);
      return inPlace && namesOf(needs).includes(name) ? [await placeCommand(lab, path)] : undefined;
    },
  },

  checks: [
    check('every program is in its place', async ({ needs }) => {
      for (const name of namesOf(needs)) await access(place(name, needs), constants.X_OK);
    }),
  ],
};
