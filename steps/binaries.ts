import { access, constants } from 'node:fs/promises';
import { binaryNames, cniPlugins, provisions } from '../lib/binaries/needed.ts';
import { check } from '../lib/engine/check.ts';
import type { Step } from '../lib/engine/step.ts';
import { paths } from '../lib/host/paths.ts';

/** Where each program is put. Runtimes look for CNI plugins in /opt/cni/bin. */
const place = (name: string): string =>
  (cniPlugins as readonly string[]).includes(name) ? `/opt/cni/bin/${name}` : `${paths.bin}/${name}`;

/** The tools of a person rather than of a component. */
const tools = ['kubectl', 'etcdctl', 'crictl'];

export const binaries: Step = {
  id: 'binaries',
  title: 'binaries and images',

  async apply(context) {
    const { host } = context;
    // A dry run must not fetch: it only names the places.
    const files = host.dryRun
      ? new Map([...binaryNames, ...cniPlugins].map((name) => [name, paths.cache]))
      : (await provisions(context)).binaries;
    await host.makeDir(paths.bin);
    await host.makeDir('/opt/cni/bin');
    for (const [name, file] of files) {
      await host.linkFile(place(name), file);
      // Not a link into the lab's folder: only root may look into that, and kubectl is for everybody.
      if (tools.includes(name)) await host.linkFile(`${paths.links}/${name}`, file);
    }
  },

  checks: [
    check('every program is in its place', async () => {
      for (const name of [...binaryNames, ...cniPlugins]) await access(place(name), constants.X_OK);
    }),
  ],
};
