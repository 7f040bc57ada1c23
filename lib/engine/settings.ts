import ipaddr from 'ipaddr.js';
import { readSmallIfThere } from '../host/files.ts';
import { sentenceOf, UserError } from './errors.ts';
import { requireOwn } from './own.ts';

/** Tells whether nobody can read or change what comes from an address: https, or plain http on this machine. */
export const isSecureUrl = (address: string): boolean => {
  const url = URL.parse(address);
  const loopback = url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
  return url?.protocol === 'https:' || loopback;
};

/** Fields of /etc/hardway.yaml. Every field has a default that suits a lab. */
export interface Settings {
  readonly podCIDR: string;
  readonly serviceCIDR: string;
  readonly domain: string;
  /** Interface of the node's address; by default that of the default route. */
  readonly interface?: string | undefined;
  /** Mirror that is asked before the registry of an image. */
  readonly registryMirror?: string | undefined;
  /** Seconds that the checks of a step may take to pass. */
  readonly deadline: number;
}

const defaults: Settings = {
  podCIDR: '10.200.0.0/16',
  serviceCIDR: '10.32.0.0/24',
  domain: 'cluster.local',
  deadline: 240,
};

/** Tells whether a text is an IPv4 network for hosts, without host bits, whose prefix has 8 to `longest` bits. */
const isNetwork = (text: string, longest: number): boolean => {
  if (!ipaddr.IPv4.isValidCIDR(text)) return false;
  const [, prefix] = ipaddr.IPv4.parseCIDR(text);
  const exact = `${ipaddr.IPv4.networkAddressFromCIDR(text).toString()}/${prefix}` === text;
  const use = ipaddr.IPv4.networkAddressFromCIDR(text).range();
  const forHosts = !['unspecified', 'loopback', 'linkLocal', 'multicast', 'reserved'].includes(use);
  return exact && forHosts && prefix >= 8 && prefix <= longest;
};

/**
 * A DNS domain whose names fit where they are used: a label has at most 63 characters and a name 253 (RFC 1035), and the
 * names of Services stand before it.
 */
const isDomain = (text: string): boolean =>
  text.length <= 200 &&
  text.split('.').every((label) => label.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(label));

/** Shows a value in a message: no longer than a line, and without the password of an address. */
const shown = (value: unknown): string => {
  const text = (JSON.stringify(value) ?? 'nothing').replaceAll(/\/\/[^/@\s]*@/g, '//***@');
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
};

const mirrorRule = 'an https address such as https://mirror.example, without blanks, a password, a query or a fragment';

/** Tells whether an address is that of a mirror. Everyone may read containerd's file of mirrors, so it has no password. */
const isMirror = (address: string): boolean => isSecureUrl(address) && /^[\w.:/%~[\]-]+$/.test(address);

/** Parses the address of a mirror. Throws UserError unless it is https, or http on this machine. */
export const mirrorOf = (text: string): string => {
  if (isMirror(text)) return text;
  throw new UserError(`the mirror ${shown(text)} is not ${mirrorRule}`, '--registry-mirror https://mirror.example');
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

/** Schema of the fields. The message for a refused value says what would be right. */
const settingsSchema = async () => {
  const { z } = await import('zod');
  const refused = (rule: string) => ({
    error: ({ input }: { readonly input?: unknown }) => `${shown(input)} is not ${rule}`,
  });
  const network = (longest: number, example: string) => {
    const no = refused(`an IPv4 network of /8 to /${longest} without host bits and for hosts, such as ${example}`);
    return z.string(no).refine((value) => isNetwork(value, longest), no);
  };
  const noDomain = refused(`a DNS domain such as ${defaults.domain}`);
  const noInterface = refused('the name of an interface such as eth0');
  const noMirror = refused(mirrorRule);
  const noDeadline = refused('a whole number of seconds from 1 to 3600');
  const fields = {
    podCIDR: network(24, defaults.podCIDR),
    serviceCIDR: network(28, defaults.serviceCIDR),
    domain: z.string(noDomain).refine(isDomain, noDomain),
    interface: z.string(noInterface).regex(/^[^\s/]{1,15}$/, noInterface),
    registryMirror: z.string(noMirror).refine(isMirror, noMirror),
    deadline: z.int(noDeadline).min(1, noDeadline).max(3600, noDeadline),
  };
  const error = ({ code, keys = [], input }: { code?: string; keys?: readonly string[]; input?: unknown }): string =>
    code === 'unrecognized_keys'
      ? `there is no field ${keys.slice(0, 5).map(shown).join(', ')}`
      : `${shown(input)} is not a list of fields, such as podCIDR: ${defaults.podCIDR}`;
  return z.strictObject(fields, { error }).partial();
};

/**
 * Reads the settings file; without one returns the defaults. Throws UserError that names the file, the field, its value
 * and what would be right.
 */
export const readSettings = async (path: string): Promise<Settings> => {
  const text = await textOf(path);
  if (text === undefined) return defaults;
  const [schema, { parse }] = await Promise.all([settingsSchema(), import('yaml')]);
  let document: unknown;
  try {
    document = parse(text, { logLevel: 'error' }) ?? {};
  } catch (error) {
    // Not only a YAMLParseError: an alias that leads nowhere, or to too much, is a ReferenceError.
    throw new UserError(
      `${path} is not YAML: ${sentenceOf(error).split('\n')[0]}`,
      `correct ${path}, then run hardway again`,
    );
  }
  const result = schema.safeParse(document);
  if (result.success) {
    const given = Object.fromEntries(Object.entries(result.data).filter(([, value]) => value !== undefined));
    return { ...defaults, ...given };
  }
  const problems = result.error.issues.map(
    ({ path: field, message }) => `${field.length > 0 ? `${field.join('.')}: ` : ''}${message}`,
  );
  throw new UserError(
    `${path} is not right:\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
    `correct ${path}; its fields are ${Object.keys(schema.shape).join(', ')}`,
  );
};
