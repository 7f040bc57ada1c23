import { setTimeout as sleep } from 'node:timers/promises';
import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { Unhealthy, UserError } from '../../lib/engine/errors.ts';
import { openLedger, ownedPaths, readLedger } from '../../lib/engine/ledger.ts';
import { withLock } from '../../lib/engine/lock.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { createHosts } from '../../lib/host/host.ts';
import { certFile, keyFile, paths } from '../../lib/host/paths.ts';
import { requireClock } from '../../lib/pki/clock.ts';
import { giveAnother } from '../../lib/pki/given.ts';
import { issue, type Pem } from '../../lib/pki/issue.ts';
import type { CertificateRequest } from '../../lib/pki/templates.ts';
import { certificates, everyName, givenIn, readRotated, requestsFor, tokenSigner } from '../../steps/certificates.ts';
import { components } from '../../steps/index.ts';
import { interruptible } from '../interrupt.ts';
import { requireLab } from '../lab.ts';
import { printJson } from '../up/show.ts';
import { stepsFromCertificates, type Turn, takeSteps } from './turn.ts';

export interface RenewOptions {
  readonly all?: boolean;
  readonly newKey?: boolean;
  readonly json?: boolean;
}

/** Tells whether a certificate signs others, or tokens: what it signed would not be believed any more. */
const signs = ({ signer, name, also }: CertificateRequest): boolean =>
  signer === undefined || [name, ...also].includes(tokenSigner);

/**
 * Chooses the certificates that are made anew. Throws UserError for a CA and for the key of tokens, which are replaced in
 * stages, and for a name that is none, with the nearest.
 */
export const chooseRenewed = (
  requests: readonly CertificateRequest[],
  name: string | undefined,
  { all = false, newKey = false }: RenewOptions,
): readonly CertificateRequest[] => {
  if ((name === undefined) !== all)
    throw new UserError('renew wants the name of one certificate, or --all', 'hardway certs renew apiserver');
  const mayBe = (request: CertificateRequest): boolean => request.signer !== undefined && !(newKey && signs(request));
  if (name === undefined) return requests.filter(mayBe);
  const names = everyName(requests);
  const wanted = parseChoice(
    'certificate',
    names.map((one) => one.name),
    name,
  );
  const template = names.find((one) => one.name === wanted)?.template;
  const request = requests.find((one) => one.name === template);
  if (request && mayBe(request)) return [request];
  if (request?.given) throw new UserError(`the CA ${wanted} was given, and is not made here`, giveAnother);
  throw new UserError(
    `${wanted} signs others: a new one would end what it has signed`,
    request?.CN === undefined || newKey ? 'hardway certs rotate service-account' : `hardway certs rotate ca ${wanted}`,
  );
};

/** Writes certificates and keys under every name under which they are stored. */
const write = async (
  { ledger }: Pick<Turn, 'ledger'>,
  requests: readonly CertificateRequest[],
  pems: ReadonlyMap<string, Pem>,
): Promise<void> => {
  const owned = ownedPaths(await readLedger(paths.ledger));
  const host = createHosts({ dryRun: false, owned })({
    record: (change) => ledger.append(certificates.id, change),
    tell: () => {},
  });
  for (const { name, template } of everyName(requests)) {
    const pem = pems.get(template);
    if (!pem) continue; // it was missing before
    await host.writeFile(keyFile(name), pem.key, 0o600);
    await host.writeFile(certFile(name), pem.certificate, 0o644);
  }
};

/** Makes these certificates anew: for the keys that they have, or with new ones. */
const issueAnew = async (
  requests: readonly CertificateRequest[],
  chosen: readonly CertificateRequest[],
  there: ReadonlyMap<string, Pem>,
  newKey: boolean,
): Promise<ReadonlyMap<string, Pem>> => {
  const isChosen = ({ name }: CertificateRequest): boolean => chosen.some((one) => one.name === name);
  // One without its certificate does not fit, and is issued again.
  const existing = new Map([...there].map(([name, pem]) => [name, pem]));
  for (const request of chosen) {
    const pem = there.get(request.name);
    if (pem) existing.set(request.name, { ...pem, certificate: '' });
  }
  const issued = await issue(requests, existing, { keepsKey: (request) => !newKey && isChosen(request) });
  return new Map(issued.map((pem) => [pem.name, pem]));
};

/** Gives the components the new files; where one does not get healthy with them, all of them get the old ones again. */
const tryNew = async (
  turn: Turn,
  chosen: readonly CertificateRequest[],
  old: ReadonlyMap<string, Pem>,
): Promise<void> => {
  try {
    await takeSteps(turn);
  } catch (error) {
    if (!(error instanceof Unhealthy)) throw error;
    await sleep(1000, undefined, { signal: turn.signal });
    await write(turn, chosen, old);
    const now = await takeSteps({ ...turn, state: await requireLab() }).then(
      () => 'and what reads them runs with them',
      () => 'but not everything is healthy with them either',
    );
    throw new Unhealthy(`${error.message}\nthe old certificates are back, ${now}`, {
      log: error.log,
      next: 'hardway certs verify; hardway doctor looks for the cause in this machine',
    });
  }
};

const renewLocked = async (name: string | undefined, options: RenewOptions): Promise<void> => {
  const state = await requireLab();
  await requireClock({ given: givenIn(state.lab) });
  const requests = await requestsFor(state.lab);
  const chosen = chooseRenewed(requests, name, options);
  const { pems, rotation } = await readRotated(requests);
  const [rotating] = Object.keys(rotation);
  if (rotating !== undefined)
    throw new UserError(
      `${rotating} is being replaced, and every certificate with it`,
      `hardway certs rotate ${rotating === tokenSigner ? rotating : `ca ${rotating}`} --finish`,
    );
  const ledger = openLedger(paths.ledger);
  const json = options.json ?? false;
  try {
    await interruptible('hardway up brings the components in order, with the files that are there', async (signal) => {
      await supervisorOf(state.lab).settle(components, signal);
      // The supervisor's clock has whole seconds: what is written in the second of a start would not look newer.
      await sleep(1000, undefined, { signal });
      const turn = { state, steps: stepsFromCertificates(state), json, signal, ledger, again: 'hardway up' };
      await write(turn, chosen, await issueAnew(requests, chosen, pems, options.newKey ?? false));
      await tryNew(turn, chosen, pems);
    });
  } finally {
    ledger.close();
  }
  if (json) return printJson({ event: 'done', ok: true, seconds: Math.round(performance.now()) / 1000 });
  process.stdout.write(`new: ${chosen.map((one) => one.name).join(', ')}\n`);
};

/** Makes certificates anew and starts again what reads them. Throws UserError, and Unhealthy where the old ones are back. */
export const renew = (name: string | undefined, options: RenewOptions): Promise<void> =>
  withLock(paths.lock, () => renewLocked(name, options));
