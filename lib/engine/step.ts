import type { Host } from '../host/host.ts';
import type { Check } from './check.ts';
import type { Daemon } from './daemon.ts';
import type { Lab } from './lab.ts';
import type { Leaves } from './leaves.ts';
import type { Text } from './text.ts';

/** Where binaries and images come from. */
export const sources = ['auto', 'release', 'go', 'dir'] as const;
export type Source = (typeof sources)[number];

/** What a step has at hand. */
export interface Context {
  readonly lab: Lab;
  readonly host: Host;
  /** What all steps of the lab need together. */
  readonly needs: Needs;
  readonly source: { readonly kind: Source; readonly from?: string };
  readonly signal: AbortSignal;
  /** Says what a long change is at, for the step's line on the screen. */
  readonly progress: (text: string) => void;
  /** What `make` returned the first time in this run that `key` was asked for: work that begins in one step and is waited for in another. */
  readonly memo: <T>(key: string, make: () => Promise<T>) => Promise<T>;
}

/** What the steps of a lab are made of, by name, in the order in which they need it. */
export interface Needs {
  readonly programs: readonly string[];
  /** Programs that a container runtime calls to give a Pod its network. */
  readonly plugins: readonly string[];
  /** Images that a registry has, or that are built here; Calico's own are not among them. */
  readonly images: readonly string[];
  /** Who gets a kubeconfig; each is also the name of a certificate, whose subject is who they are to the API server. */
  readonly identities: readonly string[];
}

/** Something that is true at this point of the story, a success or an expected failure. */
export interface Observation {
  readonly phrase: Text;
  /** What a learner types to see it, in the shell that `hardway shell` opens. */
  readonly command: string;
  /** Runs the command and returns what it printed; throws what was seen instead where the story is wrong. */
  readonly look: (context: Context) => Promise<string>;
}

/** What a person types to take a step by hand, where its changes are not simply repeated. */
export interface ByHand {
  /**
   * Commands in the place of writing this file: what holds a key is made anew, a program comes from where it is.
   * Undefined for a file that is written as it is here.
   */
  readonly file?: (path: string, context: Context) => Promise<readonly string[] | undefined>;
  /** Commands between its changes and its objects; `note` is what its lesson says of one of its files or certificates. */
  readonly before?: (context: Context, note: (name: string) => string) => Promise<readonly string[]>;
  /** Commands that end well once it has done its work; the script tries each until it does. */
  readonly proofs?: (lab: Lab) => readonly string[];
}

/** One stage of the guide, as a value: the whole of its component. */
export interface Step {
  readonly id: string;
  readonly title: string;
  /** The only step that it rests on, where that is not the one before it: it may begin as soon as that one is healthy. */
  readonly startAfter?: string;
  /** A lab has it only where it was asked for with --with. */
  readonly extra?: true;
  /** What it is made of, by name: programs and CNI plugins, images (both as versions.yaml calls them). */
  readonly needs?: Partial<Needs>;
  /** TCP ports that it listens on, on this machine. */
  readonly ports?: readonly number[];
  /** The process that this step starts, as data. Absent for a step that starts none. */
  readonly daemon?: (lab: Lab) => Daemon;
  /** Brings the machine to where this step wants it. Runs again without harm, and changes nothing where nothing is to do. */
  readonly apply: (context: Context) => Promise<void>;
  /** The objects that `apply` puts into the cluster, for a person to put there by hand. Absent for a step with none. */
  readonly objects?: (context: Context) => Promise<readonly object[]>;
  /** What of it a person types in another way, or besides; a script of the lab has it. */
  readonly byHand?: ByHand;
  /** Takes out of a cluster that lives on what `apply` put into it. Absent where that is nothing: the ledger has the rest. */
  readonly deleteObjects?: (context: Context) => Promise<void>;
  /** What its daemon makes while it runs, for a reset to remove. */
  readonly leaves?: Partial<Leaves>;
  /** What a person loses with it for good; with `countedIn`, that folder's entries are counted. */
  readonly loses?: { readonly what: string; readonly countedIn?: string };
  /** It keeps the API server's objects: etcd. They cannot be read by an API server with other keys. */
  readonly holdsObjects?: true;
  /** It serves the API: as long as it stays, objects of undone steps are deleted through it. */
  readonly servesObjects?: true;
  /** It runs containers, also those of others: containerd. */
  readonly runsContainers?: true;
  /** It runs Pods: the kubelet. */
  readonly runsPods?: true;
  /** It gives Pods their network; none can outlive that. */
  readonly carriesPods?: true;
  /** How we know that it works. Never empty. */
  readonly checks: readonly Check<Context>[];
  /** What has become true with this step, and what is not true yet. */
  readonly observations?: (lab: Lab) => readonly Observation[];
}

/** An observation of a step in one lab. */
export interface LabObservation extends Observation {
  /** Tells it from the others of its step, in every language: its command, and which of those with that command it is. */
  readonly id: string;
}

/** A step in one lab: what depends on the lab has been computed. */
export interface LabStep extends Omit<Step, 'daemon' | 'observations'> {
  readonly daemon?: Daemon;
  readonly observations: readonly LabObservation[];
}

/** What these steps need together, each once. */
export const needsOf = (steps: readonly Pick<Step, 'needs'>[]): Needs => {
  const all = (kind: keyof Needs): readonly string[] => [...new Set(steps.flatMap(({ needs }) => needs?.[kind] ?? []))];
  return { programs: all('programs'), plugins: all('plugins'), images: all('images'), identities: all('identities') };
};

const withIds = (observations: readonly Observation[]): readonly LabObservation[] =>
  observations.map((observation, index) => {
    const { command } = observation;
    const before = observations.slice(0, index).filter((other) => other.command === command).length;
    return { ...observation, id: before === 0 ? command : `${command} #${before + 1}` };
  });

/** Computes what of a step depends on the lab. */
export const stepIn =
  (lab: Lab) =>
  ({ daemon, observations, ...step }: Step): LabStep => ({
    ...step,
    ...(daemon && { daemon: daemon(lab) }),
    observations: withIds(observations?.(lab) ?? []),
  });
