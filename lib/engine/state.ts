import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readSmallIfThere, writeAtomically } from '../host/files.ts';
import { boolean, fields, listOf, mapOf, number, oneOf, optional, type Shape, text } from '../host/shape.ts';
import { sentenceOf, UserError } from './errors.ts';
import { cnis, type Lab, pkiProfiles, podSecurityLevels, supervisorNames } from './lab.ts';

/**
 * Reads a JSON file of ours, of version 1; undefined where there is none. Throws UserError where it cannot be read, naming
 * `anew` as the command to write it again, and where another hardway wrote it.
 */
export const readJsonV1 = async (path: string, shape: Shape, anew: string): Promise<object | undefined> => {
  const refused = (why: string): UserError =>
    new UserError(`${path} cannot be read: ${why}`, `move it away and run ${anew}`);
  const content = await readSmallIfThere(path).catch((error: unknown) => {
    throw refused(sentenceOf(error));
  });
  if (content === undefined) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch {
    throw refused('it is not JSON, so it was torn or edited');
  }
  const version = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  if (version !== 1) {
    throw new UserError(
      `${path} has version ${String(version)}, this hardway reads version 1`,
      'use the hardway that wrote it',
    );
  }
  const wrong = shape(parsed, 'its content');
  if (wrong !== undefined) throw refused(wrong);
  return parsed as object;
};

/** Content of the state file. Derived facts are not in it: `check` asks the lab itself. */
export interface State {
  readonly version: 1;
  readonly lab: Lab;
  readonly steps: Readonly<Record<string, StepRecord>>;
}

export interface StepRecord {
  /** Checksum of the step's inputs when it was applied; if it differs now, the step is applied again. */
  readonly fingerprint: string;
  readonly at: string;
  readonly seconds: number;
}

/** What the state of a lab of hardway 0.1 does not say: there was one version; its Pods get the level of a new lab. */
const ofFirstLabs = { kubernetes: 'v1.36.3', podSecurity: 'baseline' } as const;

const labShape = fields({
  kubernetes: optional(text),
  node: fields({ name: text, address: text, interface: text }),
  podCIDR: text,
  serviceCIDR: text,
  apiServiceAddress: text,
  dnsAddress: text,
  domain: text,
  cni: oneOf(...cnis),
  pki: oneOf(...pkiProfiles),
  podSecurity: optional(oneOf(...podSecurityLevels)), // hardway 0.1 had no such setting
  supervisor: oneOf(...supervisorNames),
  with: listOf(text),
  registryMirror: optional(text),
  ca: optional(fields({ fingerprint: text, certificate: text, key: text, ends: text, chain: text })),
  templates: optional(mapOf(fields({}))),
  machine: fields({
    arch: oneOf('amd64', 'arm64'),
    cgroup: oneOf('v1', 'v2'),
    canLowerOomScoreAdj: optional(boolean), // hardway 0.1 had other names for these two
    canSetConntrackLimits: optional(boolean),
    resolvConf: optional(text),
    swap: boolean,
    ufw: boolean,
  }),
});

const stateShape = fields({ lab: labShape, steps: mapOf(fields({ fingerprint: text, at: text, seconds: number })) });

/**
 * Reads the state file; undefined where there is no lab. Throws UserError when it cannot be read or another hardway
 * wrote it.
 */
export const readState = async (path: string): Promise<State | undefined> => {
  const state = (await readJsonV1(path, stateShape, 'hardway up: healthy components are kept')) as State | undefined;
  return state && { ...state, lab: { ...ofFirstLabs, ...state.lab } };
};

/** Writes the state file in one step: a crash leaves the old or the new one. */
export const writeState = async (path: string, state: State): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  await writeAtomically(path, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
};
