/**
 * What a step's daemon makes while it runs, beside the ledger: names and places only. A reset has a verb for each kind and
 * removes all of one kind before the next, across steps. What the snapshot has from before the first change stays.
 */
export interface Leaves {
  /** Processes that outlive the daemon in its unit's cgroup, by consecutive words of their command lines. */
  readonly processes: readonly (readonly string[])[];
  /** Cgroups by name; every process below one is a Pod's. A name that ends in .slice is also a unit of systemd. */
  readonly cgroups: readonly string[];
  /** Beginnings of mount points. */
  readonly mounts: readonly string[];
  /** Network namespaces by name. */
  readonly netns: readonly RegExp[];
  /** Network interfaces by name. */
  readonly links: readonly RegExp[];
  /** Bridges by name; the veths that hang on one are the daemon's too. */
  readonly bridges: readonly string[];
  /** Routing protocols (rtnetlink's numbers) that only this daemon marks its routes with. */
  readonly routes: readonly number[];
  /** iptables chains by name. Where patterns of two steps match, the chain is the earlier step's. */
  readonly chains: readonly RegExp[];
  /** Comments of rules that it puts into chains of others. */
  readonly rules: readonly RegExp[];
  /** nft tables by name, in any family. */
  readonly nftTables: readonly RegExp[];
  readonly ipsets: readonly RegExp[];
  /** Files and folders that it makes, or fills where the step makes them: they go with everything in them. */
  readonly paths: readonly string[];
  /** Folders that it fills in the home of a person, relative to that. */
  readonly homes: readonly string[];
}
