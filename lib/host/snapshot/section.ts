/** One part of a picture: what a thing is called, and what is to be said of it. Both end up before people's eyes. */
export type Section = Readonly<Record<string, string>>;

/** Entries as a section, sorted, so that two equal machines give equal texts. */
export const section = (entries: Iterable<readonly [string, string]>): Section =>
  Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
