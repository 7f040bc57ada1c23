import { paths } from '../host/paths.ts';

/** One flag of a daemon. The unit file, explain and transcript read it from here; the lessons say why it is set. */
export interface Flag {
  readonly name: string;
  /** Absent for a flag that takes none. */
  readonly value?: string;
}

/** A component's process as data. */
export interface Daemon {
  /** Its name as a component and as a unit: the one learners know. */
  readonly name: string;
  readonly description: string;
  /** Absolute path of the binary. */
  readonly binary: string;
  readonly flags: readonly Flag[];
  /** What stands in its configuration file, where it has one: fields in the place of flags. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Components that come first at boot, and units of the machine by their full name. */
  readonly after: readonly string[];
  /** It keeps nothing that a stop could lose and takes long to stop: it gets SIGKILL at once. */
  readonly killAtOnce?: true;
  /** Further lines of the [Service] section, where this daemon differs from the others. */
  readonly service?: readonly string[];
}

export const flag = (name: string, value?: string): Flag => (value === undefined ? { name } : { name, value });

/** One field of a configuration file, by its dotted path. */
export interface Field {
  readonly name: string;
  readonly value: string;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The fields of a configuration file, in its order; a list is one field. */
export const fieldsOf = (config: Readonly<Record<string, unknown>> = {}): readonly Field[] =>
  Object.entries(config).flatMap(([key, value]) =>
    isObject(value)
      ? fieldsOf(value).map((field) => ({ ...field, name: `${key}.${field.name}` }))
      : [{ name: key, value: Array.isArray(value) ? `[${value.join(', ')}]` : String(value) }],
  );

/** The strings in a configuration, however deep. */
const stringsIn = (value: unknown): readonly string[] => {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(stringsIn);
};

/**
 * The files of ours that a daemon reads when it starts: every value of a flag or of a field of its configuration that is
 * a path among certificates, kubeconfigs and configuration files. One that is newer than the process means a restart.
 */
export const filesReadBy = ({ flags, config }: Daemon): readonly string[] => {
  const values = [...flags.flatMap(({ value }) => value ?? []), ...stringsIn(config)];
  const folders = [paths.certs, paths.kubeconfigs, paths.config];
  return [...new Set(values.filter((value) => folders.some((folder) => value.startsWith(`${folder}/`))))];
};

/** The command as it is run, one word an element. */
export const commandLine = ({ binary, flags }: Daemon): readonly string[] => [
  binary,
  ...flags.map(({ name, value }) => (value === undefined ? `--${name}` : `--${name}=${value}`)),
];
