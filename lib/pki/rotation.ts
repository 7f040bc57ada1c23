import { UserError } from '../engine/errors.ts';
import { readJsonV1 } from '../engine/state.ts';
import { paths } from '../host/paths.ts';
import { boolean, fields, mapOf, oneOf, optional, text } from '../host/shape.ts';
import type { Pem } from './issue.ts';
import { makeCertificate, makeKeyPair } from './make.ts';
import { firstBlock } from './pem.ts';
import { type CertificateRequest, isServer } from './templates.ts';

/** Stages in which a CA or the service-account key is replaced, in their order. */
export const stages = ['trust', 'sign', 'finish'] as const;
export type Stage = (typeof stages)[number];

/** A pair that is being replaced: the stage that its files are in, or are on their way to. */
export interface Rotated {
  readonly stage: Stage;
  /** True once everything that the stage changes has been seen to be so: its components restarted, Pods reached. */
  readonly whole: boolean;
  /** Time at which the stage began, or became whole. */
  readonly since: string;
  /** The certificate that is replaced; for the service-account key its public key. */
  readonly old: string;
  readonly certificate: string;
  readonly key: string;
  /** The new CA's certificate, signed by the old CA; absent for a pair without a certificate. */
  readonly cross?: string;
}

/** What is being replaced, by the name of its files. */
export type Rotation = Readonly<Record<string, Rotated>>;

const rotated = {
  stage: oneOf(...stages),
  whole: boolean,
  since: text,
  old: text,
  certificate: text,
  key: text,
  cross: optional(text),
};

/** Reads what is being replaced; nothing where no rotation was begun. Throws UserError for a file that cannot be read. */
export const readRotation = async (): Promise<Rotation> => {
  const read = await readJsonV1(
    paths.rotation,
    fields({ pairs: mapOf(fields(rotated)) }),
    'hardway up: what the files trust is kept',
  );
  return (read as { readonly pairs: Rotation } | undefined)?.pairs ?? {};
};

/** Returns the text of the file of a rotation. It has new keys: write it with mode 0600. */
export const rotationText = (pairs: Rotation): string => `${JSON.stringify({ version: 1, pairs }, undefined, 2)}\n`;

/**
 * Makes the successor of a CA or of a key pair. The new CA has the name of the old one and another key, and is signed by
 * the old one as well (RFC 4210, 4.4: new with old): who trusts only the old one trusts what the new one signs too.
 */
export const successorOf = async (
  request: CertificateRequest,
  { certificate: held, key: oldKey }: Pick<Pem, 'certificate' | 'key'>,
  now = new Date(),
): Promise<Rotated> => {
  const old = firstBlock(held);
  const { publicKey, privateKey: key } = await makeKeyPair(request.key.size);
  const begun = { stage: 'trust', whole: false, since: now.toISOString(), old } as const;
  if (request.CN === undefined) return { ...begun, certificate: publicKey, key };
  return {
    ...begun,
    certificate: await makeCertificate(request, publicKey, { key }, now),
    key,
    cross: await makeCertificate(request, publicKey, { certificate: old, key: oldKey }, now),
  };
};

/** Returns what the file of a pair holds in its stage. The first one signs, all of them are trusted. */
export const trustedIn = ({ stage, old, certificate }: Rotated): string => {
  if (stage === 'trust') return `${old}${certificate}`;
  return stage === 'sign' ? `${certificate}${old}` : certificate;
};

/** Leaves out of a rotation what the files on the disk know nothing of: they were put back, or made anew. */
export const inUse = (rotation: Rotation, pems: ReadonlyMap<string, Pem>): Rotation =>
  Object.fromEntries(
    Object.entries(rotation).filter(([name, { old, certificate }]) =>
      [old, certificate].includes(firstBlock(pems.get(name)?.certificate ?? '')),
    ),
  );

/** Puts what a rotation says in the place of what is on the disk, for the certificates to follow. */
export const asRotated = (pems: ReadonlyMap<string, Pem>, rotation: Rotation): ReadonlyMap<string, Pem> =>
  new Map(
    [...pems].map(([name, pem]) => {
      const pair = rotation[name];
      if (!pair) return [name, pem];
      const signs = pair.stage === 'trust' ? { ...pem, certificate: pair.old } : { ...pem, ...newPairOf(pair) };
      return [name, signs];
    }),
  );

const newPairOf = ({ certificate, key }: Rotated): Pick<Pem, 'certificate' | 'key'> => ({ certificate, key });

/**
 * Returns the content of the files of a certificate while a rotation is under way: a CA's file has all that is trusted.
 * A server shows its own certificate and the new CA's that the old one signed; under a given intermediate CA also that and
 * those above it, for who trusts only what is above.
 */
export const filesIn = (request: CertificateRequest, pem: Pem, rotation: Rotation): Pem => {
  const own = rotation[request.name];
  if (own) return { ...pem, certificate: trustedIn(own) };
  if (request.chain) return { ...pem, certificate: `${firstBlock(pem.certificate)}${request.chain}` };
  const { stage, cross } = rotation[request.signer ?? ''] ?? {};
  if (!cross || stage === 'trust' || !isServer(request)) return pem;
  return { ...pem, certificate: `${firstBlock(pem.certificate)}${cross}` };
};

/** Says why the file of a pair does not hold what its stage needs; undefined where it does. */
export const rotationProblem = (pair: Rotated | undefined, held: string): string | undefined =>
  pair && held !== trustedIn(pair) ? `it does not hold what the stage ${pair.stage} of its rotation needs` : undefined;

/** Says why the file of a server does not hold what it has to show under a given intermediate CA; undefined where it does. */
export const chainProblem = ({ chain }: CertificateRequest, held: string): string | undefined =>
  chain && held !== `${firstBlock(held)}${chain}` ? 'it does not show the certificates of the CAs above it' : undefined;

/** A stage that is to be taken, and the pairs that take it. */
export interface PlannedStage {
  readonly stage: Stage;
  readonly names: readonly string[];
}

const stagesLeft = (pair: Rotated | undefined, finish: boolean): readonly Stage[] => {
  if (!pair) return finish ? [] : ['trust', 'sign'];
  const at = stages.indexOf(pair.stage) + (pair.whole ? 1 : 0);
  return stages.slice(at, finish || pair.stage === 'finish' ? 3 : 2);
};

/**
 * Plans a rotation: the stages that are left, in their order, each with those of `names` that take it. What was begun
 * before goes on; a finish that was interrupted is finished. Throws UserError where `finish` is asked for something that
 * is not so far: `command` is the one that goes on.
 */
export const planRotation = (
  names: readonly string[],
  rotation: Rotation,
  { finish, command }: { readonly finish: boolean; readonly command: string },
): readonly PlannedStage[] => {
  const early = finish ? names.find((name) => !isOverlapping(rotation[name])) : undefined;
  if (early !== undefined)
    throw new UserError(
      rotation[early]
        ? `the rotation of ${early} has come to the stage ${rotation[early].stage} and was interrupted there`
        : `no rotation of ${early} is under way`,
      command,
    );
  const left = new Map(names.map((name) => [name, stagesLeft(rotation[name], finish)]));
  return stages
    .map((stage) => ({ stage, names: names.filter((name) => left.get(name)?.includes(stage)) }))
    .filter((planned) => planned.names.length > 0);
};

/** Tells whether old and new are both trusted and the new one signs, or whether the old one is on its way out. */
const isOverlapping = (pair: Rotated | undefined): boolean =>
  pair?.stage === 'finish' || (pair?.stage === 'sign' && pair.whole);

/** Returns the command that goes on with the rotation of a pair: of a CA, or of the key of tokens. */
const commandFor = (pair: Rotated): string =>
  pair.cross === undefined ? 'hardway certs rotate service-account' : 'hardway certs rotate ca';

/** Says of each pair that is being replaced how far that is, and which command goes on. */
export const notesOn = (rotation: Rotation): readonly string[] =>
  Object.entries(rotation).map(([name, pair]) => {
    const { stage, since } = pair;
    const command = commandFor(pair);
    if (stage === 'sign' && isOverlapping(pair))
      return `${name} was replaced on ${since}, and the old one still counts: ${command} --finish ends that`;
    return `the rotation of ${name} was interrupted at its stage ${stage} on ${since}: ${command}${stage === 'finish' ? ' --finish' : ''} goes on`;
  });
