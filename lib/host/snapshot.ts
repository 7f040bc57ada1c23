import { largeFile, readSmallIfThere, writeAtomically } from './files.ts';
import { fields, listOf, mapOf, optional, text } from './shape.ts';
import { files } from './snapshot/files.ts';
import { firewall } from './snapshot/firewall.ts';
import { type Identities, identities, identitiesShape } from './snapshot/identity.ts';
import { kernel } from './snapshot/kernel.ts';
import { network } from './snapshot/network.ts';
import type { Section } from './snapshot/section.ts';
import { system } from './snapshot/system.ts';

/**
 * The state of a machine: by kind of thing (link, mount, file, ...) the name of each one and what it is. Both are text
 * that is stored, compared and parsed, never translated; only the module that writes it reads it back.
 * What changes by itself on an idle machine is left out, so that two snapshots of one are equal.
 */
export interface HostSnapshot {
  readonly version: 1;
  /** Homes that it covers; the snapshot that is compared with it must cover the same. */
  readonly homes: readonly string[];
  /**
   * Folders that a lab fills and that were looked into whatever they are: a mount point, a link, a folder of logs. The
   * snapshots of hardway 0.1 have none.
   */
  readonly places?: readonly string[];
  /** Absent in the snapshots of hardway 0.1. */
  readonly identities?: Identities;
  readonly sections: Readonly<Record<string, Section>>;
}

/** One difference between two snapshots. */
export interface Difference {
  readonly kind: string;
  readonly name: string;
  /** Absent where there was no such thing. */
  readonly before?: string;
  readonly after?: string;
}

/**
 * Takes a snapshot of this machine; `homes` and `places` are what it covers, `modules` is the text of /proc/modules, by
 * default that of now. Takes about a third of a second and changes
 * nothing but the modules that a look loads.
 */
export const takeSnapshot = async (
  { homes, places = [] }: Pick<HostSnapshot, 'homes' | 'places'>,
  modules?: string,
): Promise<HostSnapshot> => {
  // Modules are read first: listing rules may load one.
  const kernelFound = await kernel(modules);
  const asked = Promise.all([network(), firewall(), system(), identities()]);
  const filesFound = files(homes, places); // while the commands of the others run
  const [networkFound, firewallFound, systemFound, identitiesFound] = await asked;
  return {
    version: 1,
    homes,
    places,
    identities: identitiesFound,
    sections: { ...networkFound, ...firewallFound, ...systemFound, ...kernelFound, file: filesFound },
  };
};

/** Writes a snapshot to a file, safe from a power cut. */
export const saveSnapshot = (path: string, snapshot: HostSnapshot): Promise<void> =>
  writeAtomically(path, JSON.stringify(snapshot), { mode: 0o600 });

const snapshotShape = fields({
  homes: listOf(text),
  places: optional(listOf(text)),
  identities: optional(identitiesShape),
  sections: mapOf(mapOf(text)),
});

/** Reads a snapshot from a file; undefined where there is none that can be read. */
export const readSnapshot = async (path: string): Promise<HostSnapshot | undefined> => {
  try {
    const snapshot = JSON.parse((await readSmallIfThere(path, largeFile)) ?? 'null') as HostSnapshot | null;
    const isRight = snapshot?.version === 1 && snapshotShape(snapshot, 'it') === undefined;
    return isRight ? snapshot : undefined;
  } catch {
    return undefined;
  }
};

/** Compares two snapshots and returns their differences. */
export const diffSnapshots = (before: HostSnapshot, after: HostSnapshot): readonly Difference[] =>
  Object.keys(before.sections).flatMap((kind) => {
    const [then, now] = [before.sections[kind] ?? {}, after.sections[kind] ?? {}];
    const names = [...new Set([...Object.keys(then), ...Object.keys(now)])].filter((name) => then[name] !== now[name]);
    return names.map((name) => ({
      kind,
      name,
      ...(then[name] !== undefined && { before: then[name] }),
      ...(now[name] !== undefined && { after: now[name] }),
    }));
  });

/** Formats a difference as one line for a person. */
export const formatDifference = ({ kind, name, before, after }: Difference): string => {
  if (before === undefined) return `new: ${kind} ${name} (${after})`;
  if (after === undefined) return `gone: ${kind} ${name} (${before})`;
  return `changed: ${kind} ${name}: was ${before}, is ${after}`;
};
