import { X509Certificate } from 'node:crypto';
import { check } from '../lib/engine/check.ts';
import { Bug } from '../lib/engine/errors.ts';
import type { GivenCa, Lab, OwnTemplate } from '../lib/engine/lab.ts';
import type { Context, Step } from '../lib/engine/step.ts';
import { readIfThere, requireAccess, statIfThere } from '../lib/host/files.ts';
import { certFile, keyFile, paths } from '../lib/host/paths.ts';
import { readGivenCa } from '../lib/pki/given.ts';
import { issue, type Pem, problemsOf } from '../lib/pki/issue.ts';
import { type KeyPair, makeKeyPair } from '../lib/pki/make.ts';
import { opensslCommands } from '../lib/pki/openssl.ts';
import { readOwnTemplates } from '../lib/pki/own-templates.ts';
import {
  asRotated,
  chainProblem,
  filesIn,
  inUse,
  type Rotation,
  readRotation,
  rotationProblem,
  rotationText,
} from '../lib/pki/rotation.ts';
import { type CertificateRequest, endAfter, isAuthority, isServer, readProfile } from '../lib/pki/templates.ts';
import { fails, says } from './observe.ts';
import { tell } from './tasks.ts';

/** Returns the values of the {{variables}} in the templates. */
const variables = ({ node, apiServiceAddress, domain }: Lab): Record<string, string> => ({
  node: node.name,
  address: node.address,
  apiServiceAddress,
  domain,
});

/** Name of the CA of the cluster: the one that a person can give. */
const clusterCa = 'ca';

/** Names of the CAs of a lab that were given. */
export const givenIn = ({ ca }: Lab): readonly string[] => (ca ? [clusterCa] : []);

/** Says of a CA that was given that it is not made, and of the servers below it what they show. */
const withGiven = (
  request: CertificateRequest,
  { fingerprint, certificate, key, chain }: GivenCa,
): CertificateRequest => {
  if (request.name === clusterCa) return { ...request, given: { fingerprint, certificate, key } };
  return request.signer === clusterCa && isServer(request) && chain ? { ...request, chain } : request;
};

/** Reads the certificates of a lab, as data. */
export const requestsFor = async (lab: Lab): Promise<readonly CertificateRequest[]> => {
  const requests = await readProfile(lab.pki, variables(lab), lab.templates);
  const { ca } = lab;
  return ca ? requests.map((request) => withGiven(request, ca)) : requests;
};

/** Reads the templates of a person's own for a lab. Throws UserError with file, line and field. */
export const ownTemplatesFor = (lab: Lab, folder: string): Promise<Readonly<Record<string, OwnTemplate>>> =>
  readOwnTemplates(folder, lab.pki, {
    variables: variables(lab),
    known: lab.templates,
    ends: new Map(lab.ca ? [[clusterCa, new Date(lab.ca.ends)]] : []),
  });

/** Reads them once a run. */
const requestsOf = ({ lab, memo }: Context): Promise<readonly CertificateRequest[]> =>
  memo('certificate requests', () => requestsFor(lab));

/** A key pair that is being made, and its bits. */
interface Prepared {
  readonly size: number;
  readonly making: Promise<KeyPair>;
}

/** Returns the key pairs that were begun before the step's turn: those of `begin`, if this is the first call of the run. */
const preparedKeys = ({ memo }: Context, begin: () => Promise<Prepared[]>): Promise<Prepared[]> =>
  memo('key pairs', begin);

/** Begins to make a key pair for each certificate: that is half a second of computing. */
const prepareKeys = (context: Context): void =>
  void preparedKeys(context, async () =>
    (await requestsOf(context))
      .filter(({ given }) => !given)
      .map(({ key: { size } }) => {
        const making = makeKeyPair(size);
        making.catch(() => {}); // awaited where it is used
        return { size, making };
      }),
  );

/** Reads the certificates and keys of these requests from the disk. */
export const readPems = async (requests: readonly CertificateRequest[]): Promise<ReadonlyMap<string, Pem>> => {
  const pems = await Promise.all(
    requests.map(async ({ name }) => {
      const [certificate, key] = await Promise.all([readIfThere(certFile(name)), readIfThere(keyFile(name))]);
      return { name, certificate: certificate ?? '', key: key ?? '' };
    }),
  );
  return new Map(pems.filter(({ certificate, key }) => certificate && key).map((pem) => [pem.name, pem]));
};

/** Returns when a CA of a lab ends: by its file, else by its template. */
const endOf = async (authority: CertificateRequest, { ca }: Lab, now: Date): Promise<Date> => {
  if (authority.given && ca) return new Date(ca.ends);
  const { certificate } = (await readPems([authority])).get(authority.name) ?? {};
  try {
    return certificate === undefined ? endAfter(now, authority) : new X509Certificate(certificate).validToDate;
  } catch {
    return endAfter(now, authority); // a torn one is made anew
  }
};

/** Says of each CA that ends before what it would sign now that this ends with it. */
export const earlyEnds = async (lab: Lab, now: Date = new Date()): Promise<readonly string[]> => {
  const requests = await requestsFor(lab);
  const said = requests.filter(isAuthority).map(async (authority) => {
    const end = await endOf(authority, lab, now);
    const cut = requests.filter((request) => request.signer === authority.name && endAfter(now, request) > end);
    const on = end.toISOString().slice(0, 10);
    return cut.length > 0
      ? [`the CA ${authority.name} ends on ${on}, and with it what it signs, however long that was to be`]
      : [];
  });
  return (await Promise.all(said)).flat();
};

/** A certificate under one of the names under which it is stored. */
export interface NamedCertificate extends CertificateRequest {
  /** Name of its template; differs from `name` where one certificate is stored under several. */
  readonly template: string;
}

/** Lists each request under every name under which it is stored: the guide's one certificate has many. */
export const everyName = (requests: readonly CertificateRequest[]): readonly NamedCertificate[] =>
  requests.flatMap((request) =>
    [request.name, ...request.also].map((name) => ({ ...request, name, template: request.name })),
  );

/** Reads what is being replaced in this lab, and what is on the disk. */
export const readRotated = async (
  requests: readonly CertificateRequest[],
): Promise<{ readonly pems: ReadonlyMap<string, Pem>; readonly rotation: Rotation }> => {
  const pems = await readPems(everyName(requests));
  return { pems, rotation: inUse(await readRotation(), pems) };
};

/** Puts a CA that was given into the place of what is on the disk, where it is not there already. */
const withGivenCa = async (
  { ca }: Lab,
  requests: readonly CertificateRequest[],
  pems: ReadonlyMap<string, Pem>,
): Promise<ReadonlyMap<string, Pem>> => {
  const request = requests.find(({ name }) => name === clusterCa);
  const held = pems.get(clusterCa);
  if (!ca || !request || (held && problemsOf(request, held, held.certificate).length === 0)) return pems;
  const { pem } = await readGivenCa(ca);
  return new Map([...pems, [clusterCa, { name: clusterCa, ...pem }]]);
};

/** Name of the pair that signs the tokens of ServiceAccounts. */
export const tokenSigner = 'service-account';

/** Tells whether a certificate signs tokens too, as the guide's does: they count only as long as its key stays. */
const signsTokens = ({ also }: CertificateRequest): boolean => also.includes(tokenSigner);

const write = async ({ host }: Context, name: string, pem: Pem): Promise<void> => {
  await host.writeFile(keyFile(name), pem.key, 0o600);
  await host.writeFile(certFile(name), pem.certificate, 0o644);
};

export const certificates: Step = {
  id: 'certificates',
  loses: { what: 'its certificates and keys' },
  title: 'certificates',
  inputs: requestsFor,
  prepare: prepareKeys,

  async apply(context) {
    const { host } = context;
    const requests = await requestsOf(context);
    await host.makeDir(paths.certs, 0o755);
    if (host.dryRun) {
      for (const { name } of everyName(requests)) await host.writeFile(certFile(name), name);
      return;
    }
    const prepared = await preparedKeys(context, async () => []);
    const newKeyPair = (size?: number): Promise<KeyPair> => {
      const at = prepared.findIndex((pair) => pair.size === size);
      return (at < 0 ? undefined : prepared.splice(at, 1)[0])?.making ?? makeKeyPair(size);
    };
    const { pems, rotation } = await readRotated(requests);
    const there = await withGivenCa(context.lab, requests, pems);
    // Leaves out a CA that was put back or made anew, and mends the mode.
    if (await statIfThere(paths.rotation)) await host.writeFile(paths.rotation, rotationText(rotation), 0o600);
    const keepsKey = (request: CertificateRequest): boolean =>
      signsTokens(request) && rotation[request.signer ?? ''] !== undefined;
    const issued = await issue(requests, asRotated(there, rotation), { newKeyPair, keepsKey });
    const byName = new Map(issued.map((pem) => [pem.name, pem]));
    for (const request of requests) {
      const made = byName.get(request.name);
      if (!made) throw new Bug(`no certificate was issued for ${request.name}`);
      const pem = filesIn(request, made, rotation);
      for (const name of [request.name, ...request.also]) await write(context, name, pem);
    }
  },

  byHand: {
    // A rotation has new keys, and by hand nothing is rotated.
    file: async (path) => (path.startsWith(`${paths.certs}/`) || path === paths.rotation ? [] : undefined),
    before: async (context, note) => [
      `cd ${paths.certs}`,
      'umask 077',
      ...(await requestsOf(context)).flatMap((request) => [
        `# ${request.name}: ${note(request.name)}`,
        ...opensslCommands(request),
      ]),
      'rm -f -- *.cnf *.csr *.srl',
      'chmod 644 -- *.pem',
      'chmod 600 -- *-key.pem',
      'umask 022',
      'cd /',
    ],
  },

  teaching: () => ({
    before: [fails(`openssl x509 -noout -subject -in ${certFile('admin')}`, says('No such file'))],
    tasks: [
      tell(
        'admin-organisation',
        {
          en: 'Of which organisation (O) is the certificate of the admin? It is the name of a group.',
          fr: 'De quelle organisation (O) est le certificat de l’admin ? C’est le nom d’un groupe.',
        },
        `openssl x509 -noout -subject -nameopt multiline -in ${certFile('admin')}`,
        /organizationName += (\S+)/g,
      ),
    ],
  }),

  checks: [
    check('each certificate fits its purpose, its names, its CA and its key', async (context) => {
      const requests = await requestsOf(context);
      const { pems, rotation } = await readRotated(requests);
      for (const request of everyName(requests)) {
        const pem = pems.get(request.name);
        if (!pem) throw new Error(`${certFile(request.name)} or its key is missing`);
        const problem =
          rotationProblem(rotation[request.template], pem.certificate) ??
          chainProblem(request, pem.certificate) ??
          problemsOf(request, pem, pems.get(request.signer ?? request.name)?.certificate ?? '')[0];
        if (problem) throw new Error(`${certFile(request.name)}: ${problem}`);
      }
    }),
    check('only root can read the keys', async (context) => {
      await requireAccess(paths.certs, 0o755);
      for (const { name } of everyName(await requestsOf(context))) {
        await requireAccess(keyFile(name), 0o600);
        await requireAccess(certFile(name), 0o644);
      }
      if (await statIfThere(paths.rotation)) await requireAccess(paths.rotation, 0o600);
    }),
  ],
};
