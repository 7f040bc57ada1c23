import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sentenceOf, UserError } from '../engine/errors.ts';
import type { OwnTemplate, PkiProfile } from '../engine/lab.ts';
import { parseChoice } from '../engine/nearest.ts';
import { requireOwnOrAsked } from '../engine/own.ts';
import { readText } from '../host/files.ts';
import {
  type CertificateRequest,
  endAfter,
  isClient,
  isServer,
  readOwnTemplate,
  readProfile,
  type TemplateFile,
  type Variables,
} from './templates.ts';

/** Most bytes of a template: one of ours has some hundred. */
const mostBytes = 64 << 10;

/** A template of a person's own, read and checked by itself. */
interface Read {
  readonly name: string;
  readonly content: OwnTemplate;
  readonly filled: OwnTemplate;
  readonly wrong: TemplateFile['wrong'];
}

/** Returns the names of the templates in a folder. Throws UserError for one that no certificate of the profile has. */
const namesIn = async (folder: string, known: readonly string[]): Promise<readonly string[]> => {
  const next = 'give a folder of templates such as apiserver.yaml: hardway up --certs-templates DIR';
  const files = await readdir(folder).catch((error: unknown) => {
    throw new UserError(`--certs-templates: ${sentenceOf(error)}`, next);
  });
  const templates = files.filter((file) => /\.ya?ml$/.test(file)).sort();
  if (templates.length === 0) throw new UserError(`--certs-templates ${folder}: no template is in it`, next);
  return templates.map((file) => {
    if (!file.endsWith('.yaml'))
      throw new UserError(`${join(folder, file)}: the name of a template ends in .yaml`, 'rename it');
    return parseChoice('certificate', known, file.replace(/\.yaml$/, ''));
  });
};

const readOne = async (folder: string, name: string, variables: Variables): Promise<Read> => {
  const file = join(folder, `${name}.yaml`);
  await requireOwnOrAsked(file);
  const yaml = await readText(file, mostBytes).catch((error: unknown) => {
    throw new UserError(sentenceOf(error), `correct ${file}, then run hardway again`);
  });
  const { content, filled, wrong } = await readOwnTemplate(file, yaml, variables);
  return { name, content: content as OwnTemplate, filled, wrong };
};

/** Throws UserError for a field that this certificate cannot have otherwise. */
const refuseField = (request: CertificateRequest, { filled, wrong }: Read): void => {
  const { CN, names = [], hosts = [] } = filled;
  const [first] = Object.keys(filled).filter((field) => field !== 'key');
  if (request.given)
    throw wrong([], 'this CA is given by --ca-cert: it is not made, and nothing of it can be otherwise');
  if (request.CN === undefined && first !== undefined)
    throw wrong([first], 'this is a key pair without a certificate: only its key can be otherwise');
  if (isClient(request) && CN !== undefined && CN !== request.CN)
    throw wrong(['CN'], `a client is known by its CN: it stays ${request.CN}`);
  const organisation = isClient(request) ? names.findIndex(({ O }) => O !== undefined) : -1;
  if (organisation >= 0)
    throw wrong(['names', organisation, 'O'], "a client's organisations are its groups: leave O out, ours stays");
  if (!isServer(request) && hosts.length > 0) throw wrong(['hosts'], "only a server's certificate has hosts");
  if (names.length === 0 && filled.names) throw wrong(['names'], 'it is empty: leave it out');
};

/**
 * Throws UserError for a validity that a person asks for and that goes beyond its CA's. `ends` are those of the CAs that
 * are given.
 */
const refuseBeyond = (
  request: CertificateRequest,
  signer: CertificateRequest | undefined,
  { read: { filled, wrong }, ends, now }: { read: Read; ends: ReadonlyMap<string, Date>; now: Date },
): void => {
  if (!signer || (filled.years ?? filled.days) === undefined) return;
  const field = filled.years === undefined ? 'days' : 'years';
  const end = endAfter(now, request);
  const last = ends.get(signer.name) ?? endAfter(now, signer);
  if (end <= last) return;
  const on = (date: Date): string => date.toISOString().slice(0, 10);
  throw wrong(
    [field],
    `${filled[field]} ${field} from now, on ${on(end)}, are beyond the end of its CA ${signer.name}, on ${on(last)}`,
  );
};

/**
 * Reads the templates of a person's own from a folder: for each certificate what is otherwise than in ours, by its name,
 * with the {{variables}} not yet filled in. Throws UserError with file, line and field for what cannot be. One of `known` is
 * the lab's already: that the end of a given CA has come nearer since is no reason to refuse it.
 */
export const readOwnTemplates = async (
  folder: string,
  profile: PkiProfile,
  {
    variables,
    ends = new Map(),
    known = {},
    now = new Date(),
  }: {
    readonly variables: Variables;
    readonly ends?: ReadonlyMap<string, Date>;
    readonly known?: Readonly<Record<string, OwnTemplate>> | undefined;
    readonly now?: Date;
  },
): Promise<Readonly<Record<string, OwnTemplate>>> => {
  await requireOwnOrAsked(folder);
  const given = { fingerprint: '', certificate: '', key: '' };
  const ours = (await readProfile(profile, variables)).map((request) =>
    ends.has(request.name) ? { ...request, given } : request,
  );
  const names = await namesIn(
    folder,
    ours.map(({ name }) => name),
  );
  const all = await Promise.all(names.map((name) => readOne(folder, name, variables)));
  for (const read of all) for (const request of ours) if (request.name === read.name) refuseField(request, read);
  const own = Object.fromEntries(all.map(({ name, content }) => [name, content]));
  const requests = await readProfile(profile, variables, own);
  for (const read of all) {
    const request = requests.find(({ name }) => name === read.name);
    const signer = requests.find(({ name }) => name === request?.signer);
    const isNew = JSON.stringify(known[read.name]) !== JSON.stringify(read.content);
    if (request && isNew) refuseBeyond(request, signer, { read, ends, now });
  }
  return own;
};
