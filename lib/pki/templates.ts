import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf, UserError } from '../engine/errors.ts';
import type { PkiProfile } from '../engine/lab.ts';
import { fillTemplate } from '../engine/text.ts';
import { readText } from '../host/files.ts';
import type { Template } from './schema.ts';

/** A certificate as data: a template of certs-templates/ with its variables filled in. */
export interface CertificateRequest extends Readonly<Template> {
  /** Stem of its file names; the template's file has the same. */
  readonly name: string;
}

/** Values of the {{variables}} in a template. */
export type Variables = Readonly<Record<string, string>>;

/** Extended key usages by their names in a template: object identifier (RFC 5280, 4.2.1.12) and openssl's name. */
export const extendedUsages: Readonly<Record<string, { readonly oid: string; readonly openssl: string }>> = {
  'server auth': { oid: '1.3.6.1.5.5.7.3.1', openssl: 'serverAuth' },
  'client auth': { oid: '1.3.6.1.5.5.7.3.2', openssl: 'clientAuth' },
};

const folder = join(import.meta.dirname, '../../certs-templates');

const wrong = (file: string, problem: string): UserError =>
  new UserError(`${file}: ${problem}`, `correct ${file}, then run hardway again`);

/** Writes the path of a field, such as ['names', 0, 'O'], as names[0].O. */
const fieldAt = (path: readonly PropertyKey[]): string =>
  path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');

/** Replaces each {{variable}} in every string of a YAML document by its value. */
const fill = (node: unknown, variables: Variables, file: string, path: readonly PropertyKey[] = []): unknown => {
  if (typeof node === 'string') {
    const known = Object.keys(variables).join(', ');
    return fillTemplate(node, variables, (name) =>
      wrong(file, `${fieldAt(path)}: no variable is called "${name}"; there are ${known}`),
    );
  }
  if (Array.isArray(node)) return node.map((item, index) => fill(item, variables, file, [...path, index]));
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => [key, fill(value, variables, file, [...path, key])]),
  );
};

/**
 * Parses a template. Throws UserError that names the file and the field when the text is not YAML, a field is unknown
 * or wrong, or a variable has no value.
 */
export const readTemplate = async (file: string, yaml: string, variables: Variables): Promise<Template> => {
  const [{ parse, YAMLParseError }, { template }] = await Promise.all([import('yaml'), import('./schema.ts')]);
  let document: unknown;
  try {
    document = parse(yaml);
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    throw wrong(file, `this is not YAML: ${reasonOf(error).split('\n')[0]}`);
  }
  const result = template.safeParse(fill(document, variables, file));
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => [fieldAt(path), message].filter(Boolean).join(': '));
  throw wrong(file, problems.join('; '));
};

/**
 * Reads every certificate of a profile: first the CAs, then the others in the order of their names. Throws UserError as
 * readTemplate does, and when a signer is not a CA of the profile.
 */
export const readProfile = async (
  profile: PkiProfile,
  variables: Variables,
): Promise<readonly CertificateRequest[]> => {
  const fileOf = (name: string) => join(folder, profile, `${name}.yaml`);
  const names = (await readdir(join(folder, profile))).map((file) => file.replace(/\.yaml$/, '')).sort();
  const requests = await Promise.all(
    names.map(async (name) => ({
      name,
      ...(await readTemplate(fileOf(name), await readText(fileOf(name)), variables)),
    })),
  );
  const authorities = requests.filter(isAuthority);
  const known = authorities.map(({ name }) => name);
  for (const { name, signer } of requests) {
    if (signer === undefined || known.includes(signer)) continue;
    throw wrong(fileOf(name), `signer: "${signer}" is not a CA of this profile; there are ${known.join(', ')}`);
  }
  return [...authorities, ...requests.filter((request) => !isAuthority(request))];
};

/** Tells whether a request is for a CA: it has a common name and no other signer. */
export const isAuthority = ({ CN, signer }: CertificateRequest): boolean => CN !== undefined && signer === undefined;

/** Returns the parts of the subject in the order of the certificate: from C to OU, then CN. */
export const subjectOf = ({ CN, names }: CertificateRequest): readonly { part: string; value: string }[] => {
  const parts = (['C', 'ST', 'L', 'O', 'OU'] as const).flatMap((part) =>
    names.map((name) => ({ part, value: name[part] })),
  );
  return [...parts, { part: 'CN', value: CN }].flatMap(({ part, value }) => (value ? [{ part, value }] : []));
};
