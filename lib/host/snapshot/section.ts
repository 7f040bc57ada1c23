/** One part of a snapshot: name to description. A person may be shown both. */
export type Section = Readonly<Record<string, string>>;

/** Makes a section of entries, sorted, so that two equal machines give equal files. */
export const section = (entries: Iterable<readonly [string, string]>): Section =>
  Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
