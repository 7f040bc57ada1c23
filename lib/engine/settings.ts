import ipaddr from 'ipaddr.js';
import { readSmallIfThere } from '../host/files.ts';
import { reasonOf, sentenceOf, UserError } from './errors.ts';
import {
  type Cni,
  cnis,
  type PkiProfile,
  type PodSecurity,
  pkiProfiles,
  podSecurityLevels,
  type SupervisorName,
  supervisorNames,
} from './lab.ts';
import { parseChoice } from './nearest.ts';
import { requireOwn } from './own.ts';
import { type Source, sources } from './step.ts';

/** Tells whether nobody can read or change what comes from an address: https, or plain http on this machine. */
export const isSecureUrl = (address: string): boolean => {
  const url = URL.parse(address);
  const loopback = url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
  return url?.protocol === 'https:' || loopback;
};

/** Settings of `hardway up`. */
export interface Settings {
  readonly kubernetes: string;
  readonly podCIDR: string;
  readonly serviceCIDR: string;
  readonly domain: string;
  readonly interface: string;
  readonly cni: Cni;
  readonly pki: PkiProfile;
  /** Paths: files of a CA that is given, folder of templates of certificates. */
  readonly caCert: string;
  readonly caKey: string;
  readonly certsTemplates: string;
  readonly podSecurity: PodSecurity;
  readonly supervisor: SupervisorName;
  readonly source: Source;
  readonly registryMirror: string;
  /** Seconds that the checks of a step may take to pass. */
  readonly deadline: number;
}
export type Field = keyof Settings;

/** The settings that a place has. */
export type Given = Partial<Settings>;

/** One setting: what help, the documentation and the settings file say of it, and which values it takes. */
interface Setting<Value> {
  /** What its value is, in one word for help. */
  readonly placeholder: string;
  readonly meaning: string;
  /** Absent where it follows from the machine; `otherwise` says how. */
  readonly default?: Value;
  readonly otherwise?: string;
  /** A value that it may have, where there is no default. */
  readonly example?: Value;
  /** Every value, where they can be listed. */
  readonly values?: readonly Value[];
  /** Tells whether a value is right, where they cannot be listed; `rule` says what would be. */
  readonly accepts?: (value: unknown) => boolean;
  readonly rule?: string;
}

/** Tells whether a value is an IPv4 network for hosts, without host bits, whose prefix has 8 to `longest` bits. */
const isNetwork = (longest: number) => (value: unknown) => {
  if (typeof value !== 'string' || !ipaddr.IPv4.isValidCIDR(value)) return false;
  const [, prefix] = ipaddr.IPv4.parseCIDR(value);
  const exact = `${ipaddr.IPv4.networkAddressFromCIDR(value).toString()}/${prefix}` === value;
  const use = ipaddr.IPv4.networkAddressFromCIDR(value).range();
  const forHosts = !['unspecified', 'loopback', 'linkLocal', 'multicast', 'reserved'].includes(use);
  return exact && forHosts && prefix >= 8 && prefix <= longest;
};

const network = (longest: number, example: string) => ({
  placeholder: 'network',
  default: example,
  accepts: isNetwork(longest),
  rule: `an IPv4 network of /8 to /${longest} without host bits and for hosts, such as ${example}`,
});

/**
 * A DNS domain whose names fit where they are used: a label has at most 63 characters and a name 253 (RFC 1035), and the
 * names of Services stand before it.
 */
const isDomain = (value: unknown): boolean =>
  typeof value === 'string' &&
  value.length <= 200 &&
  value.split('.').every((label) => label.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(label));

/** Tells whether a value is the address of a mirror. Everyone may read containerd's file of mirrors, so it has no password. */
const isMirror = (value: unknown): boolean =>
  typeof value === 'string' && isSecureUrl(value) && /^[\w.:/%~[\]-]+$/.test(value);

const path = (placeholder: string, example: string) => ({
  placeholder,
  example,
  accepts: (value: unknown) => typeof value === 'string' && /^[^\s\p{Cc}]+$/u.test(value),
  rule: `a path without blanks such as ${example}`,
});

/** Every setting, in the order in which help, docs/settings.md and the settings file name them. */
export const settings = {
  kubernetes: {
    placeholder: 'version',
    meaning: 'version of Kubernetes, such as v1.35; a lab goes up one minor version at a time, never down',
    otherwise: 'the newest that there is',
    example: 'v1.35',
    accepts: (value) => typeof value === 'string' && /^v\d+\.\d+(\.\d+)?$/.test(value),
    rule: 'a version of Kubernetes such as v1.35',
  },
  podCIDR: { ...network(24, '10.200.0.0/16'), meaning: 'network that Pods get their addresses from' },
  serviceCIDR: {
    ...network(28, '10.32.0.0/24'),
    meaning: "network of Services: its first address is the API server's, its tenth the DNS server's",
  },
  domain: {
    placeholder: 'name',
    meaning: 'DNS domain of the cluster',
    default: 'cluster.local',
    accepts: isDomain,
    rule: 'a DNS domain such as cluster.local',
  },
  interface: {
    placeholder: 'name',
    meaning: "interface whose address is the Node's",
    otherwise: 'that of the default route',
    example: 'eth0',
    accepts: (value) => typeof value === 'string' && /^[^\s/]{1,15}$/.test(value),
    rule: 'the name of an interface such as eth0',
  },
  cni: {
    placeholder: 'network',
    meaning: 'who gives Pods their network',
    otherwise: 'calico where its images can be had, else bridge',
    example: 'bridge',
    values: cnis,
  },
  pki: {
    placeholder: 'profile',
    meaning: 'certificates; guide is one for everything, to see why that is bad',
    default: 'components',
    values: pkiProfiles,
  },
  caCert: {
    ...path('file', '/root/ca.pem'),
    meaning: "certificate of a CA of your own that signs the cluster's, also of an intermediate one",
    otherwise: 'a new CA is made',
  },
  caKey: { ...path('file', '/root/ca-key.pem'), meaning: 'the private key of --ca-cert', otherwise: 'none' },
  certsTemplates: {
    ...path('folder', '/root/templates'),
    meaning: 'templates of certificates with names, hosts, validity or key size of your own',
    otherwise: "hardway's own",
  },
  podSecurity: {
    placeholder: 'level',
    meaning: 'what a Pod may be where its namespace does not say it itself; privileged lets it take over this machine',
    default: 'baseline',
    values: podSecurityLevels,
  },
  supervisor: {
    placeholder: 'supervisor',
    meaning: "who keeps the components running; tmux is the guide's look",
    default: 'systemd',
    values: supervisorNames,
  },
  source: {
    placeholder: 'source',
    meaning: 'where programs and images come from; dir is the folder of --from, bundle its file',
    default: 'auto',
    values: sources,
  },
  registryMirror: {
    placeholder: 'url',
    meaning: 'mirror that is asked for every image before its own registry',
    otherwise: 'none',
    example: 'https://mirror.example',
    accepts: isMirror,
    rule: 'an https address such as https://mirror.example, without blanks, a password, a query or a fragment',
  },
  deadline: {
    placeholder: 'seconds',
    meaning: 'seconds that the checks of a step may take to pass',
    default: 240,
    accepts: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 3600,
    rule: 'a whole number of seconds from 1 to 3600',
  },
} as const satisfies { readonly [Name in Field]: Setting<Settings[Name]> };

const rows: Readonly<Record<Field, Setting<unknown>>> = settings;
export const fields = Object.keys(settings) as readonly Field[];

const inWords = (field: Field, between: string): string =>
  field.replaceAll(/([a-z])([A-Z])/g, `$1${between}$2`).toLowerCase();

/** Returns the option of `hardway up` for a setting: --pod-cidr. */
export const optionOf = (field: Field): string => `--${inWords(field, '-')}`;
/** Returns the environment variable of a setting: HARDWAY_POD_CIDR. */
export const variableOf = (field: Field): string => `HARDWAY_${inWords(field, '_').toUpperCase()}`;

/** The name under which commander keeps an option. */
type AttributeOf<Name extends string> = Name extends `${infer Head}CIDR` ? `${Head}Cidr` : Name;
/** The options of settings, as typed. */
export type SettingOptions = { readonly [Name in Field as AttributeOf<Name>]?: string | undefined };
const attributeOf = (field: Field): AttributeOf<Field> => field.replace(/CIDR$/, 'Cidr') as AttributeOf<Field>;

/** Shows a value in a message: no longer than a line, and without the password of an address. */
const shown = (value: unknown): string => {
  const text = (JSON.stringify(value) ?? 'nothing').replaceAll(/\/\/[^/@\s]*@/g, '//***@');
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
};

/** Says why a value is not right for a setting; undefined where it is. */
const problemOf = (field: Field, value: unknown): string | undefined => {
  const { placeholder, values, accepts, rule } = rows[field];
  if (!values) return accepts?.(value) ? undefined : `${shown(value)} is not ${rule}`;
  if (typeof value !== 'string') return `${shown(value)} is not one of ${values.join(', ')}`;
  try {
    parseChoice(placeholder, values as readonly string[], value);
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
};

/**
 * Reads settings that are given as texts, an empty one being none. Throws UserError that names the place of the first
 * value that is not right.
 */
const fromTexts = (textOf: (field: Field) => string | undefined, placeOf: (field: Field) => string): Given => {
  const given = fields.flatMap((field) => {
    const text = textOf(field);
    if (!text) return [];
    const value = typeof rows[field].default === 'number' ? Number(text) : text;
    const problem = problemOf(field, value);
    if (problem === undefined) return [[field, value] as const];
    const { values, example, default: usual = example } = rows[field];
    const right = values ? `one of: ${values.join(', ')}` : `${placeOf(field)}=${usual}`;
    throw new UserError(`${placeOf(field)}: ${problem}`, right);
  });
  return Object.fromEntries(given);
};

/** Reads the text of the settings file. Throws UserError for one that cannot be read, and for one that others may change. */
const textOf = async (path: string): Promise<string | undefined> => {
  try {
    const text = await readSmallIfThere(path);
    if (text !== undefined) await requireOwn(path);
    return text;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(sentenceOf(error), `correct ${path} or remove it, then run hardway again`);
  }
};

/** Reads a text as YAML. Throws UserError for one that is none. */
const documentOf = async (path: string, text: string): Promise<unknown> => {
  const { parse } = await import('yaml');
  try {
    return parse(text, { logLevel: 'error' }) ?? {};
  } catch (error) {
    // Not only a YAMLParseError: an alias that leads nowhere, or to too much, is a ReferenceError.
    throw new UserError(
      `${path} is not YAML: ${sentenceOf(error).split('\n')[0]}`,
      `correct ${path}, then run hardway again`,
    );
  }
};

/** Says all that is not right in the document of a settings file. */
const problemsIn = (document: unknown): readonly string[] => {
  if (typeof document !== 'object' || document === null || Array.isArray(document))
    return [`${shown(document)} is not a list of fields, such as podCIDR: ${settings.podCIDR.default}`];
  const keys = Object.keys(document);
  const wrong = fields.flatMap((field) => {
    if (!keys.includes(field)) return [];
    const problem = problemOf(field, (document as Readonly<Record<string, unknown>>)[field]);
    return problem === undefined ? [] : [`${field}: ${problem}`];
  });
  const unknown = keys.filter((key) => !Object.hasOwn(settings, key));
  return unknown.length === 0 ? wrong : [...wrong, `there is no field ${unknown.slice(0, 5).map(shown).join(', ')}`];
};

/**
 * Reads the settings file; without one nothing is given. Throws UserError that names the file, the field, its value and
 * what would be right.
 */
export const readSettings = async (path: string): Promise<Given> => {
  const text = await textOf(path);
  if (text === undefined) return {};
  const document = await documentOf(path, text);
  const problems = problemsIn(document);
  if (problems.length === 0) return document as Given;
  throw new UserError(
    `${path} is not right:\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
    `correct ${path}; its fields are ${fields.join(', ')}`,
  );
};

/**
 * Returns what is given, each setting from the first place that has it: the option, the environment variable, the
 * settings file. Throws UserError for a value that is not right, also of a place that does not win.
 */
export const settingsFrom = (
  options: SettingOptions,
  environment: Readonly<Record<string, string | undefined>>,
  file: Given,
): Given => ({
  ...file,
  ...fromTexts((field) => environment[variableOf(field)], variableOf),
  ...fromTexts((field) => options[attributeOf(field)], optionOf),
});

/** Says what a setting is where it is not given. */
export const usualOf = (field: Field): string => rows[field].otherwise ?? String(rows[field].default);

/** Returns a settings file with every setting in it as a comment, so that it changes nothing until a line is used. */
export const settingsTemplate = (): string => {
  const parts = fields.map((field) => {
    const { meaning, values, example, default: usual = example } = rows[field];
    const choices = values ? ` One of ${values.join(', ')}.` : '';
    return `# ${meaning[0]?.toUpperCase()}${meaning.slice(1)}.${choices} By default ${usualOf(field)}.\n# ${field}: ${usual}\n`;
  });
  return `# Settings of hardway up, each with its default or an example. One takes effect without the # before it.
# An option (${optionOf('podCIDR')}) or an environment variable (${variableOf('podCIDR')}) goes before this file.

${parts.join('\n')}`;
};
