import { relative } from 'node:path';
import { stringify } from 'smol-toml';
import { archivePath } from '../lib/binaries/cache.ts';
import { labImages } from '../lib/binaries/needed.ts';
import { imageReference } from '../lib/binaries/versions.ts';
import { crictl, hasImage, startImages, wordsOf } from '../lib/cluster/images.ts';
import { ensureRunning } from '../lib/daemons/supervisor.ts';
import { check, until } from '../lib/engine/check.ts';
import { flag } from '../lib/engine/daemon.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Step } from '../lib/engine/step.ts';
import { requireAccess } from '../lib/host/files.ts';
import { paths, system } from '../lib/host/paths.ts';
import { fails, notYet, observe, printsNothing, says } from './observe.ts';
import { proxyByHand, proxyFile, proxySettings, proxyText } from './proxy.ts';
import { tell } from './tasks.ts';

const configFile = `${paths.config}/containerd.toml`;

/** Folder with one folder a registry; containerd reads it at each pull. */
const registries = '/etc/containerd/certs.d';

const crictlFile = '/etc/crictl.yaml';
/** Beginning of crictl's settings, by which a file is known as ours; they say where containerd listens. */
const crictlStart = `runtime-endpoint: unix://${system.containerdSocket}\nimage-endpoint: unix://`;

const daemon = (lab: Lab) => ({
  name: 'containerd',
  proxyFile, // images come from registries
  description: 'containerd: runs containers for the kubelet',
  binary: `${paths.bin}/containerd`,
  after: ['network.target', 'local-fs.target'],
  flags: [flag('config', configFile)],
  config: configuration(lab),
  service: [
    `Environment=PATH=${paths.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    // Lets containers live on when it restarts, and lets it make cgroups below its own.
    'KillMode=process',
    'Delegate=yes',
    'LimitNOFILE=1048576',
    'TasksMax=infinity',
    'OOMScoreAdjust=-999',
  ],
});

/** Returns containerd's configuration, version 3 (containerd/docs/cri/config.md). */
export const configuration = ({ kubernetes, machine }: Lab) => ({
  version: 3,
  root: system.containerd,
  state: '/run/containerd',
  plugins: {
    'io.containerd.cri.v1.images': {
      pinned_images: { sandbox: imageReference('pause', kubernetes) },
      registry: { config_path: registries },
      // Syncs the files of a pulled image to the disk; without it they may be empty after a power cut.
      image_pull_with_sync_fs: true,
    },
    // Does the same for an imported image.
    'io.containerd.service.v1.diff-service': { sync_fs: true },
    'io.containerd.cri.v1.runtime': {
      // Without CAP_SYS_RESOURCE runc cannot lower oom_score_adj; elsewhere it should.
      ...(machine.canLowerOomScoreAdj ? {} : { restrict_oom_score_adj: true }),
      cni: { bin_dirs: [system.cniPlugins], conf_dir: system.cniConfig },
      containerd: {
        default_runtime_name: 'runc',
        runtimes: {
          runc: {
            runtime_type: 'io.containerd.runc.v2',
            options: { BinaryName: `${paths.bin}/runc`, SystemdCgroup: machine.cgroup === 'v2' },
          },
        },
      },
    },
  },
});

/** File that names a mirror for every registry to containerd. */
const mirrorFile = `${registries}/_default/hosts.toml`;
/** Its first line, by which it is known as ours. */
const mirrorStart = '# hardway: the mirror that is asked before a registry';

/**
 * Returns the file that names a mirror to containerd (containerd/docs/hosts.md). It asks the registry itself for what
 * the mirror lacks.
 */
export const hostsFile = (mirror: string): string =>
  `${mirrorStart}\n${stringify({ host: { [mirror]: { capabilities: ['pull', 'resolve'] } } })}`;

const answers = async (signal: AbortSignal): Promise<void> => {
  const { code, stderr } = await crictl(['version'], { signal });
  if (code !== 0) throw new Error(wordsOf(stderr));
};

export const containerd: Step = {
  id: 'containerd',
  runsContainers: true,
  leaves: {
    processes: [['-namespace', 'k8s.io']], // its shims
    mounts: ['/var/lib/containerd/', '/run/containerd/'],
    paths: [system.containerd, '/run/containerd', '/run/nri', '/opt/containerd'],
    shared: [system.containerd, '/run/containerd', '/opt/containerd'],
  },
  traces: [
    { path: crictlFile, isOurs: (content) => content.includes(crictlStart) },
    { path: mirrorFile, isOurs: (content) => content.startsWith(mirrorStart) },
  ],
  title: 'containerd',
  needs: { programs: ['containerd', 'containerd-shim-runc-v2', 'ctr', 'runc', 'crictl'], images: ['pause'] },
  startAfter: 'binaries', // images are imported while the control plane starts
  daemon,
  inputs: async (lab) => [lab.registryMirror, await proxyText(lab)],

  async apply(context) {
    const { lab, host } = context;
    // containerd watches this folder only if it exists when containerd starts (containerd#8419).
    await host.makeDir(system.cniConfig);
    await host.makeDir(system.containerd, 0o711);
    await host.makeDir('/run/containerd', 0o711);
    await host.writeFile(configFile, stringify(configuration(lab)), 0o600);
    await host.writeFile(crictlFile, `${crictlStart}${system.containerdSocket}\n`);
    const proxy = proxySettings(lab);
    if (proxy !== undefined) await host.writeFile(proxyFile, proxy, 0o600);
    if (lab.registryMirror) await host.writeFile(mirrorFile, hostsFile(lab.registryMirror));
    await ensureRunning(context, daemon(lab));
    if (host.dryRun) return;
    await until('containerd answers', answers, { signal: context.signal, deadline: 60_000 });
    // The others are awaited where the first Pods need them, so that the import overlaps with kubelet and kube-proxy.
    await startImages(context);
  },

  byHand: {
    file: async (path, { lab }) => (path === proxyFile ? proxyByHand(lab) : undefined),
    before: async ({ lab, needs }) => {
      const references = labImages(lab, needs);
      const archive = (reference: string) =>
        relative(paths.cache, archivePath(paths.cache, lab.machine.arch, reference));
      return [
        `waits ${paths.bin}/crictl version`,
        ...references.map((reference) => `image ${reference} ${archive(reference)}`),
      ];
    },
    proofs: () => [`${paths.bin}/crictl version`],
  },

  checks: [
    check('only root can read its configuration', () => requireAccess(configFile, 0o600)),
    check('answers the CRI', (_, signal) => answers(signal)),
    check('has the sandbox image', ({ lab }, signal) => hasImage(imageReference('pause', lab.kubernetes), signal)),
  ],

  teaching: () => ({
    before: [fails('ctr containers list', says('no such file'))],
    guideFlags: [],
    started: /containerd successfully booted/,
    tasks: [
      tell(
        'containers-now',
        { en: 'How many containers does it run now?', fr: 'Combien de conteneurs fait-il tourner maintenant ?' },
        'crictl ps --quiet | wc -l',
      ),
    ],
  }),

  observations: () => [
    observe(
      { en: 'containerd answers', fr: 'containerd répond' },
      'crictl version',
      says('RuntimeName:  containerd', 'RuntimeApiVersion:  v1'),
    ),
    notYet(
      observe(
        {
          en: 'it runs nothing: it does what a kubelet asks for, and there is none',
          fr: 'il n’exécute rien : il fait ce qu’un kubelet demande, et il n’y en a pas',
        },
        'crictl pods --quiet',
        printsNothing,
        { stays: true },
      ),
    ),
    notYet(
      observe(
        { en: 'the cluster has no Node yet', fr: 'le cluster n’a pas encore de Node' },
        'kubectl get nodes',
        says('No resources found'),
      ),
    ),
  ],
};
