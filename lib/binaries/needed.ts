import type { Lab } from '../engine/lab.ts';
import type { Context } from '../engine/step.ts';
import { paths } from '../host/paths.ts';
import type { Progress } from './progress.ts';
import { type Provided, provide } from './provide.ts';
import { imageReference } from './versions.ts';

/** The programs of a lab, in the order in which the steps need them. */
export const binaryNames = [
  'etcd',
  'etcdctl',
  'etcdutl',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'containerd',
  'containerd-shim-runc-v2',
  'ctr',
  'runc',
  'crictl',
  'kubelet',
  'kubectl',
  'kube-proxy',
] as const;

/** The CNI plugins that the bridge network is made of; Calico brings its own and uses some of these. */
export const cniPlugins = ['bridge', 'host-local', 'loopback', 'portmap', 'firewall'] as const;

export const imageNames = ['pause', 'coredns', 'agnhost'] as const;
/** The references of a lab's images; Traefik's takes Go five minutes, so only where it was asked for. */
export const imageReferences = (lab?: Pick<Lab, 'with'>): readonly string[] => [
  ...imageNames.map(imageReference),
  ...(lab?.with.includes('ingress') ? [imageReference('traefik')] : []),
];

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

/** One line for a person: "building kube-apiserver", "downloading etcd: 12 of 24 MB, 9 MB/s". */
/** For Context.progress: what is under way, not what is already there. */
export const progressText = ({ name, state, bytes, total, bytesPerSecond }: Progress): string => {
  const size = bytes === undefined ? '' : `: ${megabytes(bytes)}${total ? ` of ${megabytes(total)}` : ''}`;
  return `${state} ${name}${size}${bytesPerSecond ? `, ${megabytes(bytesPerSecond)}/s` : ''}`;
};

/** Everything that a lab is made of, from the cache or the run's source; looked for once a run. Throws UserError. */
export const provisions = ({ memo: once, source, lab, host, progress, signal }: Context): Promise<Provided> =>
  once('provisions', () =>
    provide({
      source: source.kind,
      ...(source.from && { from: source.from }),
      binaries: [...binaryNames, ...cniPlugins],
      images: imageReferences(lab),
      arch: lab.machine.arch,
      cache: paths.cache,
      report: (what) => {
        if (what.state !== 'cached') progress(progressText(what));
      },
      signal,
      perform: (argv) => host.sh(argv),
    }),
  );
