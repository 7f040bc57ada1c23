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
    if (host.dryRun)
      return host.change(
        {
          what: `get ${binaryNames.length + cniPlugins.length} programs and 3 images into ${paths.cache}`,
          undo: { kind: 'run', argv: ['true'] },
        },
        async () => {},
      );
    const provided = await provisions(context);
    await host.makeDir(paths.bin, 0o755);
    await host.makeDir('/opt/cni/bin');
    for (const [name, file] of provided.binaries) await host.place(place(name), file);
    for (const name of tools) await host.symlink(`${paths.links}/${name}`, place(name));
  },

  healthy: [
    check('every program is in its place', async () => {
      for (const name of [...binaryNames, ...cniPlugins]) await access(place(name), constants.X_OK);
    }),
  ],
};
