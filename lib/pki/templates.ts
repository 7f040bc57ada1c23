import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Document, LineCounter } from 'yaml';
import { sentenceOf, UserError } from '../engine/errors.ts';
import type { OwnTemplate, PkiProfile } from '../engine/lab.ts';
import { fillTemplate } from '../engine/text.ts';
import { readText } from '../host/files.ts';
import type { Template } from './schema.ts';

/** What is known of a CA that was given, and is not made here. */
export interface GivenAuthority {
  /** SHA-256 of its certificate, as Node and openssl write it. */
  readonly fingerprint: string;
  /** Files from which its certificate and its key are taken. */
  readonly certificate: string;
  readonly key: string;
}

/** A certificate as data: a template of certs-templates/ with its variables filled in. */
export interface CertificateRequest extends Readonly<Template> {
  /** Stem of its file names; the template's file has the same. */
  readonly name: string;
  /** Present for a CA that was given: it is not made, and is what its owner made it. */
  readonly given?: GivenAuthority;
  /** Certificates that a server shows behind its own, as PEM: a given intermediate CA's and those above it. */
  readonly chain?: string;
}

/** Values of the {{variables}} in a template. */
export type Variables = Readonly<Record<string, string>>;

/** Extended key usages by their names in a template: object identifier (RFC 5280, 4.2.1.12) and openssl's name. */
export const extendedUsages: Readonly<Record<string, { readonly oid: string; readonly openssl: string }>> = {
  'server auth': { oid: '1.3.6.1.5.5.7.3.1', openssl: 'serverAuth' },
  'client auth': { oid: '1.3.6.1.5.5.7.3.2', openssl: 'clientAuth' },
};

const folder = join(import.meta.dirname, '../../certs-templates');

const day = 24 * 60 * 60 * 1000;

/** Returns the end of a certificate that begins at a time. */
export const endAfter = (from: Date, { years, days }: Pick<Template, 'years' | 'days'>): Date => {
  if (days !== undefined) return new Date(from.getTime() + days * day);
  const later = new Date(from);
  later.setUTCFullYear(later.getUTCFullYear() + years);
  return later;
};

type Path = readonly PropertyKey[];

/** A file of a template. */
export interface TemplateFile {
  readonly content: unknown;
  /** Makes the error that names the file, the line and the field; an empty path is that of the whole file. */
  readonly wrong: (path: Path, problem: string) => UserError;
}

/** Writes the path of a field, such as ['names', 0, 'O'], as names[0].O. */
const fieldAt = (path: Path): string =>
  path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');

const refusal = (file: string, problems: string): UserError =>
  new UserError(problems, `correct ${file}, then run hardway again`);

/** Returns the line of a field, or of the nearest above it that is in the document. */
const lineOf = (document: Document, lines: LineCounter, path: Path): number => {
  for (let length = path.length; length > 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true) as { readonly range?: readonly number[] } | undefined;
    if (node?.range) return lines.linePos(node.range[0] ?? 0).line;
  }
  return 1;
};

/** Parses the YAML of a template. Throws UserError that names the file and the line where it is none. */
const parseFile = async (file: string, yaml: string): Promise<TemplateFile> => {
  const { LineCounter: Lines, parseDocument } = await import('yaml');
  const lines = new Lines();
  const document = parseDocument(yaml, { lineCounter: lines, logLevel: 'error' });
  const [error] = document.errors;
  const why = (reason: string): string => `this is not YAML: ${reason.split('\n')[0]}`;
  if (error) throw refusal(file, `${file}:${error.linePos?.[0].line ?? 1}: ${why(error.message)}`);
  const wrong = (path: Path, problem: string): UserError =>
    refusal(file, `${file}:${lineOf(document, lines, path)}: ${[fieldAt(path), problem].filter(Boolean).join(': ')}`);
  try {
    return { content: document.toJS(), wrong };
  } catch (error_) {
    // An alias that leads nowhere, or to too much.
    throw refusal(file, `${file}:1: ${why(sentenceOf(error_))}`);
  }
};

/** Replaces each {{variable}} in every string of a YAML document by its value. */
const fill = (node: unknown, variables: Variables, wrong: TemplateFile['wrong'], path: Path = []): unknown => {
  if (typeof node === 'string') {
    const known = Object.keys(variables).join(', ');
    return fillTemplate(node, variables, (name) => wrong(path, `no variable is called "${name}"; there are ${known}`));
  }
  if (Array.isArray(node)) return node.map((item, index) => fill(item, variables, wrong, [...path, index]));
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => [key, fill(value, variables, wrong, [...path, key])]),
  );
};

/** What is read of zod's schemas. */
interface Schema<T> {
  readonly safeParse: (content: unknown) =>
    | { readonly success: true; readonly data: T }
    | {
        readonly success: false;
        readonly error: {
          readonly issues: readonly {
            readonly path: Path;
            readonly message: string;
            readonly keys?: readonly string[];
          }[];
        };
      };
}

/** Fills the variables in and validates. Throws UserError that names every field that is wrong, with its line. */
const validate = <T>({ content, wrong }: TemplateFile, file: string, schema: Schema<T>, variables: Variables): T => {
  const result = schema.safeParse(fill(content, variables, wrong));
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message, keys: [unknown] = [] }) => {
    // An unknown field is said of what it is in.
    const { message: said } = wrong(unknown === undefined ? path : [...path, unknown], message);
    return said;
  });
  throw refusal(file, problems.join('\n'));
};

/**
 * Parses a template. Throws UserError that names the file, the line and the field when the text is not YAML, a field is
 * unknown or wrong, or a variable has no value.
 */
export const readTemplate = async (file: string, yaml: string, variables: Variables): Promise<Template> => {
  const { template } = await import('./schema.ts');
  return validate(await parseFile(file, yaml), file, template, variables);
};

/** Parses a template of a person's own, as readTemplate does. */
export const readOwnTemplate = async (
  file: string,
  yaml: string,
  variables: Variables,
): Promise<TemplateFile & { readonly filled: OwnTemplate }> => {
  const { ownTemplate } = await import('./schema.ts');
  const parsed = await parseFile(file, yaml);
  return { ...parsed, filled: validate(parsed, file, ownTemplate, variables) as OwnTemplate };
};

/** Lays a person's own template over ours. Hosts are added: by ours the components reach each other. */
const withOwn = (request: CertificateRequest, own: OwnTemplate): CertificateRequest => {
  const { names, hosts = [], years, days, ...others } = own;
  // A client's organisations are its groups: they stay.
  const kept = isClient(request) ? request.names.flatMap(({ O }) => (O === undefined ? [] : [{ O }])) : [];
  const { days: _, ...without } = request;
  const ends = { years: years ?? request.years, ...(days !== undefined && { days }) };
  return {
    ...(years === undefined && days === undefined ? request : { ...without, ...ends }),
    ...(others as Partial<Pick<Template, 'CN' | 'key'>>),
    names: names ? [...kept, ...(names as Template['names'])] : request.names,
    hosts: [...new Set([...request.hosts, ...hosts])],
  };
};

/**
 * Reads every certificate of a profile: first the CAs, then the others in the order of their names, with what a person
 * wants otherwise (its variables not yet filled in). Throws UserError as readTemplate does, and when a signer is not a CA
 * of the profile.
 */
export const readProfile = async (
  profile: PkiProfile,
  variables: Variables,
  own: Readonly<Record<string, OwnTemplate>> = {},
): Promise<readonly CertificateRequest[]> => {
  const fileOf = (name: string) => join(folder, profile, `${name}.yaml`);
  const names = (await readdir(join(folder, profile))).map((file) => file.replace(/\.yaml$/, '')).sort();
  const requests = await Promise.all(
    names.map(async (name) => {
      const request = { name, ...(await readTemplate(fileOf(name), await readText(fileOf(name)), variables)) };
      const { [name]: wanted } = own;
      if (!wanted) return request;
      const text = JSON.stringify(wanted);
      return withOwn(request, (await readOwnTemplate(`${name}.yaml`, text, variables)).filled);
    }),
  );
  const authorities = requests.filter(isAuthority);
  const known = authorities.map(({ name }) => name);
  for (const { name, signer } of requests) {
    if (signer === undefined || known.includes(signer)) continue;
    const file = fileOf(name);
    throw refusal(file, `${file}: signer: "${signer}" is not a CA of this profile; there are ${known.join(', ')}`);
  }
  return [...authorities, ...requests.filter((request) => !isAuthority(request))];
};

/** Tells whether a request is for a CA: it has a common name and no other signer. */
export const isAuthority = ({ CN, signer }: Pick<CertificateRequest, 'CN' | 'signer'>): boolean =>
  CN !== undefined && signer === undefined;

/** Tells whether a certificate is a client's: by its CN and its organisations it is known, as a user and its groups. */
export const isClient = ({ usages }: Pick<CertificateRequest, 'usages'>): boolean => usages.includes('client auth');

/** Tells whether a certificate is a server's. */
export const isServer = ({ usages }: Pick<CertificateRequest, 'usages'>): boolean => usages.includes('server auth');

/** Returns the parts of the subject in the order of the certificate: from C to OU, then CN. */
export const subjectOf = ({ CN, names }: CertificateRequest): readonly { part: string; value: string }[] => {
  const parts = (['C', 'ST', 'L', 'O', 'OU'] as const).flatMap((part) =>
    names.map((name) => ({ part, value: name[part] })),
  );
  return [...parts, { part: 'CN', value: CN }].flatMap(({ part, value }) => (value ? [{ part, value }] : []));
};
