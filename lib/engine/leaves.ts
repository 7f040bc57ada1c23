/**
 * Names and places of what a step's daemon makes while it runs; the ledger has no entry for it. A reset removes all of
 * one kind, across steps, before the next kind. What the snapshot has from before the first change stays.
 */
export interface Leaves {
  /** Processes that outlive the daemon in the cgroup of its unit, by consecutive words of their command lines. */
  readonly processes: readonly (readonly string[])[];
  /**
   * Cgroups by name; every process below one belongs to a Pod. A name that ends in .slice is also a unit of systemd.
   */
  readonly cgroups: readonly string[];
  /** Prefixes of mount points. */
  readonly mounts: readonly string[];
  /** Network namespaces by name. */
  readonly netns: readonly RegExp[];
  /** Network interfaces by name. */
  readonly links: readonly RegExp[];
  /** Bridges by name; veths attached to one belong to the daemon too. */
  readonly bridges: readonly string[];
  /** Routing protocols (numbers of rtnetlink) that mark the routes of this daemon and of no other program. */
  readonly routes: readonly number[];
  /** iptables chains by name. Where patterns of two steps match, the chain belongs to the earlier step. */
  readonly chains: readonly RegExp[];
  /** Comments of rules that the daemon adds to chains of others. */
  readonly rules: readonly RegExp[];
  /** nft tables by name, in any family. */
  readonly nftTables: readonly RegExp[];
  readonly ipsets: readonly RegExp[];
  /** Files and folders that the daemon makes or fills; they are removed with everything in them. */
  readonly paths: readonly string[];
  /** Paths among `paths` that also contain data of others, where the daemon works for others too. */
  readonly shared: readonly string[];
  /** Folders that it fills in the home of a person, relative to that home. */
  readonly homes: readonly string[];
}

/** Leaves without anything. */
const noLeaves: Leaves = {
  processes: [],
  cgroups: [],
  mounts: [],
  netns: [],
  links: [],
  bridges: [],
  routes: [],
  chains: [],
  rules: [],
  nftTables: [],
  ipsets: [],
  paths: [],
  shared: [],
  homes: [],
};

/** Joins the leaves of several steps. */
export const allLeaves = (parts: readonly (Partial<Leaves> | undefined)[]): Leaves => {
  const listOf = (kind: keyof Leaves): readonly unknown[] => [
    ...new Set(parts.flatMap((part) => [...((part?.[kind] ?? []) as readonly unknown[])])),
  ];
  return Object.fromEntries(
    Object.keys(noLeaves).map((kind) => [kind, listOf(kind as keyof Leaves)]),
  ) as unknown as Leaves;
};

/** Tells whether a name matches one of these patterns. */
export const matches = (patterns: readonly RegExp[], name: string): boolean =>
  patterns.some((pattern) => pattern.test(name));
