import { setTimeout as sleep } from 'node:timers/promises';
import { podsHaveCa, podsHaveNoTokenOf, secretsWithTokenOf } from '../../lib/cluster/projected.ts';
import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { openLedger, ownedPaths, readLedger } from '../../lib/engine/ledger.ts';
import { withLock } from '../../lib/engine/lock.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import { createHosts } from '../../lib/host/host.ts';
import { paths } from '../../lib/host/paths.ts';
import { requireClock } from '../../lib/pki/clock.ts';
import { giveAnother } from '../../lib/pki/given.ts';
import {
  type PlannedStage,
  planRotation,
  type Rotation,
  rotationText,
  type Stage,
  successorOf,
} from '../../lib/pki/rotation.ts';
import { type CertificateRequest, isAuthority } from '../../lib/pki/templates.ts';
import { certificates, givenIn, readRotated, requestsFor, tokenSigner } from '../../steps/certificates.ts';
import { components } from '../../steps/index.ts';
import { interruptible } from '../interrupt.ts';
import { requireLab } from '../lab.ts';
import { asTyped } from '../typed.ts';
import { printJson } from '../up/show.ts';
import { stepsFromCertificates, type Turn, takeSteps, waitUntil } from './turn.ts';

export interface RotateOptions {
  readonly finish?: boolean;
  readonly json?: boolean;
}

/** What is replaced: CAs, or the key that signs the tokens of ServiceAccounts. */
export type Kind = 'ca' | 'service-account';

/** What each stage makes true. */
const makesTrue: Readonly<Record<Kind, Readonly<Record<Stage, string>>>> = {
  ca: {
    trust: 'the components and the Pods trust the old CA and the new one; the old one still signs',
    sign: 'the new CA has signed every certificate; the old one is still trusted',
    finish: 'only the new CA is trusted',
  },
  'service-account': {
    trust: 'tokens of the old key and of the new one are accepted; the old one still signs',
    sign: 'the new key signs, and every Pod has a token of it; tokens of the old key are still accepted',
    finish: 'only tokens of the new key are accepted',
  },
};

/** Milliseconds after which a program in a Pod has read its new token: client-go reads the file once a minute. */
const rereadMs = 70_000;

/** Everything that the stages of one rotation need. */
interface Rotating extends Turn {
  readonly kind: Kind;
  readonly requests: readonly CertificateRequest[];
}

const commandOf = (kind: Kind, name?: string): string =>
  `hardway certs rotate ${kind}${name === undefined ? '' : ` ${name}`}`;

/** Writes what is being replaced, before it is: the same command goes on from there after a crash. */
const writeRotation = async ({ ledger }: Rotating, rotation: Rotation): Promise<void> => {
  const owned = ownedPaths(await readLedger(paths.ledger));
  const host = createHosts({ dryRun: false, owned })({
    record: (change) => ledger.append(certificates.id, change),
    tell: () => {},
  });
  await host.writeFile(paths.rotation, rotationText(rotation), 0o600);
};

/** Writes that these pairs enter a stage; makes the successor of one that has none. */
const enterStage = async (turn: Rotating, { stage, names }: PlannedStage): Promise<Rotation> => {
  const { pems, rotation } = await readRotated(turn.requests);
  const since = new Date().toISOString();
  const entered = await Promise.all(
    turn.requests
      .filter(({ name }) => names.includes(name))
      .map(async (request) => {
        const pem = pems.get(request.name);
        if (!pem) throw new UserError(`the certificate ${request.name} or its key is missing`, 'hardway up');
        const pair = rotation[request.name] ?? (await successorOf(request, pem));
        return [request.name, { ...pair, stage, whole: false, since }] as const;
      }),
  );
  const now = { ...rotation, ...Object.fromEntries(entered) };
  await writeRotation(turn, now);
  return now;
};

/** Writes that a stage is whole; a pair that has finished is no longer being replaced. */
const leaveStage = (turn: Rotating, { stage, names }: PlannedStage, rotation: Rotation): Promise<void> => {
  const since = new Date().toISOString();
  const left = Object.entries(rotation).flatMap(([name, pair]) => {
    if (!names.includes(name)) return [[name, pair] as const];
    return stage === 'finish' ? [] : [[name, { ...pair, whole: true, since }] as const];
  });
  return writeRotation(turn, Object.fromEntries(left));
};

/** Waits until the Pods have what the stage gave them. */
const waitForPods = async (
  turn: Rotating,
  names: readonly string[],
  stage: Stage,
  rotation: Rotation,
): Promise<void> => {
  if (!turn.steps.some(({ runsPods }) => runsPods)) return;
  if (turn.kind === 'ca') return waitUntil(turn, 'the volumes of every Pod have the CAs that are trusted', podsHaveCa);
  const old = rotation[names[0] ?? '']?.old;
  if (stage === 'trust' || old === undefined) return;
  await waitUntil(turn, 'the volumes of every Pod have a token of the new key', () => podsHaveNoTokenOf(old));
};

/** Throws UserError where tokens without an end would be refused; waits until programs have read their new ones. */
const readyToFinish = async (turn: Rotating, rotation: Rotation): Promise<void> => {
  const pair = rotation[tokenSigner];
  if (turn.kind !== 'service-account' || pair?.stage !== 'sign') return;
  const context = readOnlyContext(turn.state.lab, turn.steps);
  const served = turn.steps.some(({ servesObjects }) => servesObjects);
  const secrets = served ? await secretsWithTokenOf(context, pair.old) : [];
  if (secrets.length > 0)
    throw new UserError(
      `these Secrets hold a token of the old key, which has no end and would be refused: ${secrets.join(', ')}`,
      `for each: hardway kubectl -- -n NAMESPACE patch secret NAME --type=json -p '[{"op":"remove","path":"/data/token"}]' gives it a new one; then the same command`,
    );
  const left = Date.parse(pair.since) + rereadMs - Date.now();
  if (left <= 0) return;
  const text = `programs in Pods read their new token within a minute: ${Math.ceil(left / 1000)} s are left of it`;
  if (turn.json) printJson({ event: 'progress', step: certificates.id, text });
  else process.stdout.write(`${text}\n`);
  await sleep(Math.min(left, rereadMs), undefined, { signal: turn.signal });
};

/** Takes one stage and shows it. */
const takeStage = async (turn: Rotating, planned: PlannedStage): Promise<void> => {
  const { stage, names } = planned;
  const text = makesTrue[turn.kind][stage];
  const begin = performance.now();
  if (turn.json) printJson({ event: 'stage', stage, names, state: 'started', text });
  else process.stdout.write(`${stage} ${names.join(', ')}: ${text}\n`);
  const rotation = await enterStage(turn, planned);
  await takeSteps(turn);
  await waitForPods(turn, names, stage, rotation);
  await leaveStage(turn, planned, rotation);
  const seconds = Math.round(performance.now() - begin) / 1000;
  if (turn.json) printJson({ event: 'stage', stage, names, state: 'done', text, seconds });
};

/** Throws UserError for a CA that was given: a new one is its owner's to make. */
const refuseGiven = (names: readonly string[], requests: readonly CertificateRequest[]): readonly string[] => {
  const given = requests.find((request) => request.given && names.includes(request.name));
  if (!given) return names;
  const ours = requests.filter((request) => isAuthority(request) && !request.given).map((request) => request.name);
  throw new UserError(
    `the CA ${given.name} was given: hardway does not make its successor`,
    `${giveAnother}; hardway certs rotate ca ${ours.join('|')} replaces one of the lab's own`,
  );
};

/** Chooses what is replaced. Throws UserError for what is no CA of this lab, and for what has no key of its own. */
export const chooseNames = (
  kind: Kind,
  name: string | undefined,
  requests: readonly CertificateRequest[],
  rotation: Rotation,
): readonly string[] => {
  if (kind === 'service-account') {
    if (requests.some((request) => request.name === tokenSigner)) return [tokenSigner];
    throw new UserError(
      'with --pki guide tokens are signed with the key of the one certificate: there is no key that could be replaced alone',
      'hardway reset, then hardway up --pki components',
    );
  }
  const known = requests.filter(isAuthority).map((request) => request.name);
  if (name !== undefined && !known.includes(name))
    throw new UserError(`${name} is no CA of this lab`, `one of: ${known.join(', ')}`);
  if (name !== undefined) return refuseGiven([name], requests);
  const underWay = known.filter((one) => rotation[one]);
  return underWay.length > 0 ? underWay : refuseGiven(known, requests);
};

const closingWords = (kind: Kind, name: string | undefined, finished: boolean): string => {
  if (finished) return `${makesTrue[kind].finish}`;
  const elsewhere =
    kind === 'ca'
      ? 'Copies of the kubeconfigs on other machines work until then: replace them. Certificates of persons that the old CA signed do too.'
      : 'Tokens that were handed out by kubectl create token work until then.';
  return `Both count for now. ${elsewhere}\nnext: ${commandOf(kind, name)} --finish`;
};

const rotateLocked = async (kind: Kind, name: string | undefined, options: RotateOptions): Promise<void> => {
  const state = await requireLab();
  await requireClock({ given: givenIn(state.lab) });
  const steps = stepsFromCertificates(state);
  const requests = await requestsFor(state.lab);
  const { rotation } = await readRotated(requests);
  const names = chooseNames(kind, name, requests, rotation);
  const finish = options.finish ?? false;
  const command = commandOf(kind, name);
  if (finish && kind === 'ca' && names.every((one) => !rotation[one]))
    throw new UserError('no rotation of a CA is under way', command);
  const stages = planRotation(names, rotation, { finish, command });
  const ledger = openLedger(paths.ledger);
  try {
    await interruptible(`${command}${finish ? ' --finish' : ''} goes on from here`, async (signal) => {
      const turn = { kind, state, requests, steps, json: options.json ?? false, signal, ledger, again: command };
      await supervisorOf(state.lab).settle(components, signal);
      if (finish) await readyToFinish(turn, rotation);
      for (const planned of stages) {
        // The supervisor's clock has whole seconds: what is written in the second of a start would not look newer.
        await sleep(1000, undefined, { signal });
        await takeStage({ ...turn, state: await requireLab() }, planned);
      }
    });
  } finally {
    ledger.close();
  }
  if (options.json) return printJson({ event: 'done', ok: true, seconds: Math.round(performance.now()) / 1000 });
  const finished = finish || stages.at(-1)?.stage === 'finish';
  process.stdout.write(asTyped(`${closingWords(kind, name, finished)}\n`));
};

/** Replaces CAs or the key of tokens, stage by stage. Throws UserError, and Unhealthy where a component does not come up. */
export const rotate = (kind: Kind, name: string | undefined, options: RotateOptions): Promise<void> =>
  withLock(paths.lock, () => rotateLocked(kind, name, options));
