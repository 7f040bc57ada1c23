import type { Undo } from '../host/change.ts';
import type { Host } from '../host/host.ts';
import type { Check } from './check.ts';
import type { Daemon } from './daemon.ts';
import type { Lab } from './lab.ts';
import type { Leaves } from './leaves.ts';
import type { Text } from './text.ts';

/** Sources of binaries and images. */
export const sources = ['auto', 'release', 'go', 'dir', 'bundle'] as const;
export type Source = (typeof sources)[number];

/** Lab, host and services that a step's functions get. */
export interface Context {
  readonly lab: Lab;
  readonly host: Host;
  /** Needs of all steps of the lab together. */
  readonly needs: Needs;
  /** Files and folders that the daemons of every step fill, whether this lab has the step or not. */
  readonly places: readonly string[];
  readonly source: { readonly kind: Source; readonly from?: string };
  readonly signal: AbortSignal;
  /** Reports the progress of a long change, for the step's line on the screen. */
  readonly progress: (text: string) => void;
  /**
   * Calls `make` at the first use of `key` in this run and returns the same promise later: one step starts work,
   * another waits for it.
   */
  readonly memo: <T>(key: string, make: () => Promise<T>) => Promise<T>;
}

/**
 * Programs, CNI plugins, images and identities of the steps of a lab, by name, in the order in which they need them.
 */
export interface Needs {
  readonly programs: readonly string[];
  /** Programs that a container runtime calls to give a Pod its network. */
  readonly plugins: readonly string[];
  /** Images that a registry has, or that are built here; Calico's own are not among them. */
  readonly images: readonly string[];
  /** Names of the kubeconfigs; each is also the name of a certificate, whose subject is the user for the API server. */
  readonly identities: readonly string[];
}

/** A fact that holds after a step, a success or an expected failure. */
export interface Observation {
  readonly phrase: Text;
  /** Command that a learner types to see it, in the shell that `hardway shell` opens. */
  readonly command: string;
  /** Runs the command and returns its output; throws what was seen instead when the fact does not hold. */
  readonly look: (context: Context) => Promise<string>;
  /** True if it says that something does not work yet. */
  readonly notYet?: true;
}

/** Something that a learner does or finds out. */
export interface Task {
  /** Identity among the tasks of its step, the same in every language and from one hardway to the next. */
  readonly id: string;
  readonly text: Text;
  /** Command that does it or shows the answer; a learner may find another way. */
  readonly hint: string;
  /** `state`: it is done as soon as it is true. `answer`: the learner types what was found. */
  readonly kind: 'state' | 'answer';
  /**
   * Looks at the machine. Returns what was seen, and whether the task is done; `typed` is the learner's answer. Throws
   * where it could not look.
   */
  readonly mark: (context: Context, typed?: string) => Promise<{ readonly done: boolean; readonly seen: string }>;
}

/** What the screens of a step show besides its observations. */
export interface Teaching {
  /** What does not work before the step is taken. */
  readonly before?: readonly Observation[];
  /** Flags that the guide gives its daemon; the others harden it. */
  readonly guideFlags?: readonly string[];
  /** Matches the line of its daemon's log that says that it has started. */
  readonly started?: RegExp;
  readonly tasks?: readonly Task[];
}

/** Commands that a person types to take a step by hand, where its changes are not simply repeated. */
export interface ByHand {
  /**
   * Returns the commands that make a file: a file with a key is made anew, a program is taken from the cache or its
   * upstream site. Undefined for a file that is written as it is here.
   */
  readonly file?: (path: string, context: Context) => Promise<readonly string[] | undefined>;
  /**
   * Returns the commands between its changes and its objects; `note` returns what its lesson says of one of its files
   * or certificates.
   */
  readonly before?: (context: Context, note: (name: string) => string) => Promise<readonly string[]>;
  /** Commands that succeed once it has done its work; the script repeats each until it does. */
  readonly proofs?: (lab: Lab) => readonly string[];
}

/** An object of the demo, named web, which observations use. */
export interface DemoPart {
  /** Name of its file in manifests/, without `.yaml`; a learner can apply it too. */
  readonly manifest: string;
  /** Path of its kind in the API. */
  readonly collection: string;
}

/** A TCP port of a daemon: at every address of this machine, at that of the Node, or on 127.0.0.1 only. */
export interface Port {
  readonly number: number;
  readonly at: 'everywhere' | 'node' | 'loopback';
}

/** A file of ours among those of the machine, or in the home of a person (`~/`). */
export interface Trace {
  readonly path: string;
  /** Tells by its content whether a file of that name is ours; absent for a name that only hardway uses. */
  readonly isOurs?: (content: string) => boolean;
}

/** One step of the guide, as a value: everything particular to its component. */
export interface Step {
  readonly id: string;
  readonly title: string;
  /**
   * Id of the step it depends on. If set, it may start as soon as that step is healthy instead of after its
   * predecessor.
   */
  readonly startAfter?: string;
  /** True for a step that a lab has only with --with. */
  readonly extra?: true;
  /** Programs, CNI plugins and images that it needs, by their names in versions.yaml, and its kubeconfigs. */
  readonly needs?: Partial<Needs>;
  /** TCP ports that its daemon listens on, on this machine. */
  readonly ports?: readonly Port[];
  /** Account that its daemon runs under; absent for a daemon of root's. */
  readonly account?: string;
  /** Daemon that this step starts, as data; absent for a step that starts none. */
  readonly daemon?: (lab: Lab) => Daemon;
  /** Inputs of `apply` besides the daemon: content of its files and objects, versions of its programs. */
  readonly inputs?: (lab: Lab) => unknown;
  /**
   * Seconds without progress or a change after which `apply` is given up; by default the seconds that its checks may
   * take.
   */
  readonly stallLimit?: number;
  /**
   * Begins work for `apply` that changes nothing on the machine, when a run begins in which this step has its first turn.
   * `apply` gets its result by `context.memo`.
   */
  readonly prepare?: (context: Context) => void;
  /** Changes the machine as this step needs it. It can run again: then it changes only what differs. */
  readonly apply: (context: Context) => Promise<void>;
  /**
   * The rest of its work, which goes on while the next steps are taken: each of them begins when what it needs of it is
   * there. Its end is awaited with the last step of a run, or at once where somebody watches.
   */
  readonly finish?: (context: Context) => Promise<void>;
  /** API objects that `apply` creates, for a person to create by hand; absent for a step with none. */
  readonly objects?: (context: Context) => Promise<readonly object[]>;
  /** Commands that a person types instead of its changes, or besides; a script of the lab contains them. */
  readonly byHand?: ByHand;
  /**
   * Deletes the API objects that `apply` created, when this step is undone and the cluster stays. Files and units are
   * undone from the ledger.
   */
  readonly deleteObjects?: (context: Context) => Promise<void>;
  /** Names of what its daemon makes while it runs; a reset removes it. */
  readonly leaves?: Partial<Leaves>;
  /** Files that `apply` writes outside of the lab's folder: a lab that lost its folder is taken back by them. */
  readonly traces?: readonly Trace[];
  /** Finds the changes that `apply` makes by a command, by the mark that each bears, and returns their undos. */
  readonly marked?: () => Promise<readonly Undo[]>;
  /** Data that a reset of this step destroys for good; with `countedIn`, the entries of that folder are counted. */
  readonly loses?: { readonly what: string; readonly countedIn?: string };
  /** True for etcd, which keeps the API server's objects. An API server with other keys cannot read them. */
  readonly holdsObjects?: true;
  /** True for the API server: as long as it stays, objects of undone steps are deleted through it. */
  readonly servesObjects?: true;
  /** True for containerd, which may run containers of others too. */
  readonly runsContainers?: true;
  /** True for the kubelet, which runs Pods. */
  readonly runsPods?: true;
  /** True for the step that gives Pods their network; Pods are removed before it is undone. */
  readonly carriesPods?: true;
  /** Checks that prove that it works. Never empty. */
  readonly checks: readonly Check<Context>[];
  /** Part of the demo that its observations create. */
  readonly demo?: DemoPart;
  readonly teaching?: (lab: Lab) => Teaching;
  /** Facts that hold after this step, also that something does not work yet. */
  readonly observations?: (lab: Lab) => readonly Observation[];
}

/** An observation of a step in one lab. */
export interface LabObservation extends Observation {
  /**
   * Identity among the observations of its step, the same in every language: its command, and a number where several
   * have that command.
   */
  readonly id: string;
}

/** A step in one lab: its daemon, inputs and observations are those of that lab. */
export interface LabStep extends Omit<Step, 'daemon' | 'inputs' | 'teaching' | 'observations'> {
  readonly daemon?: Daemon;
  readonly inputs?: () => unknown;
  readonly teaching?: Teaching;
  readonly observations: readonly LabObservation[];
}

type Needy = Pick<Step, 'id' | 'startAfter' | 'needs'>;

/** Returns steps in the order in which they may begin: one that starts early comes right after what it depends on. */
const bySoonest = (steps: readonly Needy[]): readonly Needy[] => {
  const isEarly = ({ startAfter }: Needy): boolean => steps.some(({ id }) => id === startAfter);
  return steps
    .filter((step) => !isEarly(step))
    .flatMap((step) => [step, ...steps.filter(({ startAfter }) => startAfter === step.id)]);
};

/** Returns the needs of these steps together, each name once, in the order in which the steps may begin. */
export const needsOf = (steps: readonly Needy[]): Needs => {
  const sorted = bySoonest(steps);
  const all = (kind: keyof Needs): readonly string[] => [
    ...new Set(sorted.flatMap(({ needs }) => needs?.[kind] ?? [])),
  ];
  return { programs: all('programs'), plugins: all('plugins'), images: all('images'), identities: all('identities') };
};

const withIds = (observations: readonly Observation[]): readonly LabObservation[] =>
  observations.map((observation, index) => {
    const { command } = observation;
    const before = observations.slice(0, index).filter((other) => other.command === command).length;
    return { ...observation, id: before === 0 ? command : `${command} #${before + 1}` };
  });

/** Binds a step to a lab: computes its daemon and observations. */
export const stepIn =
  (lab: Lab) =>
  ({ daemon, inputs, teaching, observations, ...step }: Step): LabStep => ({
    ...step,
    ...(teaching && { teaching: teaching(lab) }),
    ...(daemon && { daemon: daemon(lab) }),
    ...(inputs && { inputs: () => inputs(lab) }),
    observations: withIds(observations?.(lab) ?? []),
  });
