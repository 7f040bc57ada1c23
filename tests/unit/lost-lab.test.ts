import { dirname } from 'node:path';
import { expect, test, vi } from 'vitest';
import { programPlaces } from '../../bin/reset/lost-lab.ts';
import type { Component } from '../../lib/daemons/systemd.ts';
import { cnis, type Lab } from '../../lib/engine/lab.ts';
import { allLeaves } from '../../lib/engine/leaves.ts';
import { needsOf } from '../../lib/engine/step.ts';
import type { Undo } from '../../lib/host/change.ts';
import type { Host } from '../../lib/host/host.ts';
import { paths, system } from '../../lib/host/paths.ts';
import { homesHere } from '../../lib/host/person.ts';
import { isBelow } from '../../lib/host/remove.ts';
import { kubeconfig } from '../../lib/pki/kubeconfig.ts';
import { everyStep, stepsWith } from '../../steps/index.ts';
import { oddLab, plainLab } from '../fixtures.ts';

/** What `ufw show added` prints. */
const ufw = vi.hoisted(() => ({ added: '' }));

vi.mock('../../lib/host/run.ts', async (load) => ({
  ...(await load<object>()),
  run: async () => ({ stdout: 'LoadState=not-found\nActiveState=inactive', stderr: '', code: 0 }),
  tryRun: async (file: string) => ({ stdout: file === 'ufw' ? ufw.added : '', stderr: '', code: 0 }),
}));

// Objects of the cluster are no changes to the machine.
vi.mock('../../lib/binaries/calico.ts', async (load) => ({
  ...(await load<object>()),
  calicoManifest: async () => '',
}));
vi.mock('../../lib/cluster/calico.ts', () => ({ calicoObjects: () => ({ definitions: [], others: [] }) }));

/** A change outside of the lab's own folder. */
interface Deed {
  readonly step: string;
  readonly path?: string;
  readonly content?: string;
  readonly undo?: Undo | undefined;
}

/** Applies every step of a lab on a host that only takes notes. */
const deedsOf = async (lab: Lab): Promise<readonly Deed[]> => {
  const deeds: Deed[] = [];
  const steps = stepsWith(lab);
  for (const { id: step, apply } of steps) {
    const note = async (deed: Omit<Deed, 'step'>): Promise<true> => deeds.push({ step, ...deed }) > 0 || true;
    const host: Host = {
      dryRun: true, // no step waits for what was only noted
      expect: async (path) => void (await note({ path })),
      makeDir: (path) => note({ path: `${path}/` }),
      writeFile: (path, content) => note({ path, content }),
      symlink: (path) => note({ path }),
      linkFile: (path) => note({ path }),
      sh: async (argv, undo) => void (await note({ content: argv.join(' '), undo })),
      sysctl: (key) => note({ content: key }),
    };
    await apply({
      ...{ lab, host, needs: needsOf(steps), places: [], source: { kind: 'auto' }, progress: () => {} },
      ...{ signal: new AbortController().signal, memo: (_, make) => make() },
    });
  }
  return deeds.filter(({ path = '' }) => !isBelow(path, paths.root));
};

const labs: readonly Lab[] = cnis.flatMap((cni) =>
  [plainLab, oddLab].map((lab) => ({ ...lab, cni, registryMirror: 'http://127.0.0.1:5000' })),
);

/** Tells whether a lost lab is found to have made a change: by what stands where the change put it. */
const isFound =
  (homes: readonly string[]) =>
  ({ path = '', content = '' }: Deed): boolean => {
    const folders = [paths.links, system.cniPlugins];
    const traces = everyStep.flatMap((step) => step.traces ?? []);
    const fullPaths = traces.flatMap((trace) =>
      homes.map((home) => ({ ...trace, path: trace.path.replace(/^~/, home) })),
    );
    return (
      allLeaves(everyStep.map(({ leaves }) => leaves)).paths.some((place) => isBelow(path.replace(/\/$/, ''), place)) ||
      fullPaths.some((trace) => trace.path === path && (trace.isOurs?.(content) ?? true)) ||
      [...fullPaths.map((trace) => dirname(trace.path)), ...folders, system.cniConfig].some(
        (folder) => path === `${folder}/`,
      ) ||
      programPlaces().includes(path) ||
      (path.startsWith(`${paths.units}/`) && content.includes(paths.bin)) ||
      path === `${paths.units}/hardway-tmux.service` ||
      /^\/etc\/(passwd|group|shadow|gshadow)-$/.test(path) // useradd and userdel write them at each change of an account
    );
  };

/** A kubeconfig as a real run gives it; a dry run has no certificate to put into it. */
const given = kubeconfig({ server: 'https://127.0.0.1:6443', ca: 'a', user: 'admin', certificate: 'b', key: 'c' });

test.each(labs)('of a lab with $cni under $supervisor nothing is put where its reset does not find it', async (lab) => {
  const homes = await homesHere();
  const deeds = (await deedsOf(lab)).filter(({ path }) => path !== undefined);
  const written = deeds.map((deed) => (deed.path?.endsWith('.kube/config') ? { ...deed, content: given } : deed));
  expect(written.length).toBeGreaterThan(10);
  expect(written.filter((deed) => !isFound(homes)(deed)).map(({ step, path }) => `${step}: ${path}`)).toEqual([]);
});

test('every command that a step undoes by another one leaves a mark by which that is found', async () => {
  const undos = (await deedsOf(oddLab)).flatMap(({ undo, content }) =>
    undo?.kind === 'run' ? [{ undo, content }] : [],
  );
  ufw.added = ['Added user rules', 'ufw allow 22/tcp', ...undos.map(({ content }) => content)]
    .join('\n')
    .replaceAll('comment hardway', "comment 'hardway'");
  const found = await Promise.all(everyStep.map(({ marked }) => marked?.() ?? []));
  expect(undos).toHaveLength(3);
  expect(found.flat()).toEqual(undos.map(({ undo }) => undo));
});

test.each([
  ['another name', given.replaceAll('hardway', 'production')],
  ['another server', given.replace('127.0.0.1', '192.0.2.1')],
  ['another cluster beside ours', given.replace('users:', '  - name: mine\n    cluster: {}\nusers:')],
  ['nothing', ''],
])('a kubeconfig in a home with %s is the person’s', (_, content) => {
  const [trace] = everyStep.flatMap(({ traces = [] }) => traces.filter(({ path }) => path.startsWith('~/')));
  expect(trace?.isOurs?.(given)).toBe(true);
  expect(trace?.isOurs?.(content)).toBe(false);
});

test('chains of others whose names begin with KUBE- are no chains of kube-proxy', () => {
  const { chains } = allLeaves(everyStep.map(({ leaves }) => leaves));
  const isOurs = (name: string): boolean => chains.some((pattern) => pattern.test(name));
  const daemon: readonly Component['name'][] = ['KUBE-SERVICES', 'KUBE-SVC-ERIFXISQEP7F7OF4', 'KUBE-FIREWALL'];
  for (const name of daemon) expect(isOurs(name), name).toBe(true);
  for (const name of ['KUBE-MINE', 'KUBE-ROUTER-INPUT', 'KUBE-SVC-MINE']) expect(isOurs(name), name).toBe(false);
});
