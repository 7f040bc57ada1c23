import { basename } from 'node:path';
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
  /**
   * Account that it runs under; absent for root. It has the files of `handed` from its supervisor, and root's rights in
   * nothing.
   */
  readonly user?: string;
  /** Files that only root may read: its supervisor gives it a copy of each when it starts. Its flags name the copies. */
  readonly handed?: readonly string[];
  /** Folder that it may write to; absent for a daemon that writes nothing, or that runs as root. */
  readonly writes?: string;
  /** Further lines of the [Service] section of its unit. */
  readonly service?: readonly string[];
}

export const flag = (name: string, value?: string): Flag => (value === undefined ? { name } : { name, value });

/** Folder in which a supervisor puts the files that it hands to a daemon: that of systemd (systemd.exec(5), CREDENTIALS). */
export const handedFolder = (name: string): string => `/run/credentials/${name}.service`;

/** Returns the path of the copy of a file that a daemon is handed. */
export const handedPath = (name: string, file: string): string => `${handedFolder(name)}/${basename(file)}`;

/** Tells whether only root may read a file of ours: all but certificates, which are no secret. */
const isRoots = (path: string): boolean =>
  (path.startsWith(`${paths.certs}/`) && path.endsWith('-key.pem')) ||
  [paths.kubeconfigs, paths.config].some((folder) => path.startsWith(`${folder}/`));

/**
 * Returns a daemon that runs under an account of its own name instead of root. Every file in its flags that only root may
 * read is handed over: the daemon sees its own keys and those of no other.
 */
export const underOwnUser = (daemon: Omit<Daemon, 'user' | 'handed'>): Daemon => {
  const handed = daemon.flags.flatMap(({ value }) => (value !== undefined && isRoots(value) ? [value] : []));
  const place = (value: string): string => (handed.includes(value) ? handedPath(daemon.name, value) : value);
  return {
    ...daemon,
    user: daemon.name,
    handed: [...new Set(handed)],
    flags: daemon.flags.map(({ name, value }) => flag(name, value === undefined ? undefined : place(value))),
  };
};

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
export const filesReadBy = ({ flags, config, handed = [], reads = [], proxyFile }: Daemon): readonly string[] => {
  const values = [...flags.flatMap(({ value }) => value ?? []), ...stringsIn(config)];
  const folders = [paths.certs, paths.kubeconfigs, paths.config];
  return [
    ...new Set([
      ...values.filter((value) => folders.some((folder) => value.startsWith(`${folder}/`))),
      ...handed,
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
