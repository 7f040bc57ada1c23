import { paths } from '../host/paths.ts';

/** One flag of a daemon. The unit file, explain and transcript read it from here; the lessons say why it is set. */
export interface Flag {
  readonly name: string;
  /** Absent for a flag that takes none. */
  readonly value?: string;
}

/** A component's process as data. */
export interface Daemon {
  /** Name of the component and of its unit. */
  readonly name: string;
  readonly description: string;
  /** Absolute path of the binary. */
  readonly binary: string;
  readonly flags: readonly Flag[];
  /** Content of its configuration file; absent for a daemon that has only flags. */
  readonly config?: Readonly<Record<string, unknown>>;
  /**
   * Units that start before it at boot: components by name, units of the machine by full name, such as network.target.
   */
  readonly after: readonly string[];
  /** True for a daemon that has no state to lose and is slow to stop: it gets SIGKILL at once. */
  readonly killAtOnce?: true;
  /**
   * File with the variables of a proxy, for a daemon that asks hosts of the internet; it need not be there. Every other
   * daemon is kept from a proxy.
   */
  readonly proxyFile?: string;
  /**
   * Files that it reads and that neither a flag nor a field names, and the store whose content it remembers. When one is
   * newer than the process, the daemon is restarted.
   */
  readonly reads?: readonly string[];
  /** Further lines of the [Service] section of its unit. */
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

/** Lists the fields of a configuration file in its order; a list is one field. */
export const fieldsOf = (config: Readonly<Record<string, unknown>> = {}): readonly Field[] =>
  Object.entries(config).flatMap(([key, value]) =>
    isObject(value)
      ? fieldsOf(value).map((field) => ({ ...field, name: `${key}.${field.name}` }))
      : [{ name: key, value: Array.isArray(value) ? `[${value.join(', ')}]` : String(value) }],
  );

/** Lists the strings in a configuration, at any depth. */
const stringsIn = (value: unknown): readonly string[] => {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(stringsIn);
};

/**
 * Lists the files of ours that a daemon reads when it starts: every value of a flag or configuration field that is a
 * path of a certificate, kubeconfig or configuration file. If one is newer than the process, the daemon is restarted.
 */
export const filesReadBy = ({ flags, config, reads = [], proxyFile }: Daemon): readonly string[] => {
  const values = [...flags.flatMap(({ value }) => value ?? []), ...stringsIn(config)];
  const folders = [paths.certs, paths.kubeconfigs, paths.config];
  return [
    ...new Set([
      ...values.filter((value) => folders.some((folder) => value.startsWith(`${folder}/`))),
      ...reads,
      ...(proxyFile ? [proxyFile] : []),
    ]),
  ];
};

/** Returns the command line, one word an element. */
export const commandLine = ({ binary, flags }: Daemon): readonly string[] => [
  binary,
  ...flags.map(({ name, value }) => (value === undefined ? `--${name}` : `--${name}=${value}`)),
];
