/** One flag of a daemon, and in one line why it is set: unit file, explain and transcript all read it from here. */
export interface Flag {
  readonly name: string;
  /** Absent for a flag that takes none. */
  readonly value?: string;
  readonly why: string;
}

/** A component's process as data. */
export interface Daemon {
  /** Its name as a component and as a unit: the one learners know. */
  readonly name: string;
  readonly description: string;
  /** Absolute path of the binary. */
  readonly binary: string;
  readonly flags: readonly Flag[];
  /** Files that it reads at start: a newer one means that it has to start again. */
  readonly reads: readonly string[];
  /** Components that come first at boot, and units of the machine by their full name. */
  readonly after: readonly string[];
  /** Further lines of the [Service] section, where this daemon differs from the others. */
  readonly service?: readonly string[];
}

export const flag = (name: string, value: string | undefined, why: string): Flag => ({
  name,
  ...(value !== undefined && { value }),
  why,
});

/** The command as it is run, one word an element. */
export const commandLine = ({ binary, flags }: Daemon): readonly string[] => [
  binary,
  ...flags.map(({ name, value }) => (value === undefined ? `--${name}` : `--${name}=${value}`)),
];
