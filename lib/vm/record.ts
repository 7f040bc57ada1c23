import { mkdir, readdir, readFile } from 'node:fs/promises';
import { closest, distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { UserError } from '../engine/errors.ts';
import { writeAtomically } from '../host/files.ts';
import { paths } from '../host/paths.ts';

export const kinds = ['container', 'qemu'] as const;
export type Kind = (typeof kinds)[number];

/**
 * Flavours of a VM. plain: a minimal system; ubuntu-like: with what an Ubuntu cloud image adds (packages.ts), for
 * tests.
 */
export const flavours = ['plain', 'ubuntu-like'] as const;
export type Flavour = (typeof flavours)[number];

/** Schema of vm.json, the record of a VM between two commands. */
const recordSchema = z.object({
  version: z.literal(1),
  name: z.string(),
  kind: z.enum(kinds),
  suite: z.string(),
  flavour: z.enum(flavours),
  net: z.boolean(),
  /** Path of the cached tree or image that it was made from. */
  base: z.string(),
  /** True once its disk is complete. */
  ready: z.boolean(),
  process: z.object({ pid: z.number(), start: z.number() }).optional(),
  /** Folders of the cgroups of a container VM. */
  cgroups: z.array(z.string()).default([]),
  /** Port on 127.0.0.1 that leads to the sshd of a qemu VM. */
  port: z.number().optional(),
  /** Port on 127.0.0.1 that leads to the API server of a running VM; absent where an older hardway booted it. */
  apiPort: z.number().optional(),
});
export type VmRecord = z.infer<typeof recordSchema>;

export const folderOf = (name: string): string => `${paths.vms}/${name}`;

/** Reads the record of a VM. Undefined when there is none or it cannot be read: such a VM can only be deleted. */
export const readRecord = async (name: string): Promise<VmRecord | undefined> => {
  const text = await readFile(`${folderOf(name)}/vm.json`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
};

/** Replaces vm.json in one step, so that a crash leaves the old or the new one. */
export const writeRecord = async (record: VmRecord): Promise<VmRecord> => {
  const folder = folderOf(record.name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeAtomically(`${folder}/vm.json`, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600 });
  return record;
};

/** Lists the names of all VMs, broken ones too. */
export const vmNames = async (): Promise<string[]> => {
  const entries = await readdir(paths.vms, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
};

/**
 * Returns the name of a VM if it is valid: a lower-case letter, then letters, digits or dashes, 30 at most, because a
 * folder, a cgroup and a unit have it. Throws a UserError otherwise.
 */
export const checkName = (name: string): string => {
  if (/^[a-z][a-z0-9-]{0,29}$/.test(name)) return name;
  throw new UserError(
    `'${name}' cannot be the name of a VM: a lower-case letter first, then lower-case letters, digits or dashes, 30 at most`,
    'hardway vm create lab',
  );
};

/** Makes the error for an unknown VM: it names the nearest one, else all of them. */
export const unknownVm = (name: string, names: readonly string[]): UserError => {
  const message = `There is no VM named '${name}'`;
  if (names.length === 0) return new UserError(`${message}: there is none at all`, `hardway vm up ${name}`);
  const nearest = closest(name, [...names]);
  const hint = distance(name, nearest) <= 2 ? ` Did you mean '${nearest}'?` : '';
  return new UserError(`${message}.${hint} There are: ${names.join(', ')}`, 'hardway vm list');
};
