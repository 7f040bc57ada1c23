import { lstatSync, readlinkSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { supervisorOfUnit, unitsHere } from '../../lib/daemons/supervisor.ts';
import type { LedgerEntry } from '../../lib/engine/ledger.ts';
import type { Trace } from '../../lib/engine/step.ts';
import type { Undo } from '../../lib/host/change.ts';
import { readIfThere, statIfThere } from '../../lib/host/files.ts';
import { launcher, paths, system } from '../../lib/host/paths.ts';
import { isBelow } from '../../lib/host/remove.ts';
import { components, everyStep, stepIds } from '../../steps/index.ts';

/** Returns a folder below /etc or /opt with the one around it. */
const folders = (path: string): readonly string[] => [dirname(path), path];

/** Returns the time at which the first of these files was made, in milliseconds of the Unix epoch. */
const earliest = (files: readonly string[]): number =>
  Math.min(...files.map((path) => statSync(path, { throwIfNoEntry: false })?.birthtimeMs || Date.now()));

/** Step that the changes are ascribed to which are none of a component's. */
const [firstStep = ''] = stepIds;

/** Files of a lab among those of the machine. */
const traces = everyStep.flatMap((step) => step.traces ?? []);

/** Files that only hardway writes, by their names. */
const ownFiles = traces.flatMap(({ path, text }) => (text === undefined ? [path] : []));

/** Folders that a lab makes where they are missing, the outer ones first; they go only if nothing is in them. */
const sharedFolders = [...folders(system.cniPlugins), ...folders(system.cniConfig)];

/** Folders that a lab puts programs into, beside those of others. */
const programFolders = [paths.links, system.cniPlugins];

/** Lists the files of our cache by their inode: a program of a lab is a link to one, of either kind. */
const cachedInodes = async (): Promise<ReadonlySet<string>> => {
  const names = await readdir(`${paths.cache}/bin`, { recursive: true }).catch(() => []);
  return new Set(
    names.flatMap((name) => {
      const stat = statSync(`${paths.cache}/bin/${name}`, { throwIfNoEntry: false });
      return stat?.isFile() ? [`${stat.dev} ${stat.ino}`] : [];
    }),
  );
};

/**
 * Lists the programs of a folder that are links to files of ours. One to the command itself counts from `begun` on, in
 * milliseconds of the Unix epoch: an older one is somebody's own.
 */
const programsIn = async (folder: string, cached: ReadonlySet<string>, begun: number): Promise<readonly string[]> => {
  const found = (await readdir(folder).catch(() => [])).map((name) => `${folder}/${name}`);
  return found.filter((path) => {
    const stat = lstatSync(path);
    if (!stat.isSymbolicLink()) return cached.has(`${stat.dev} ${stat.ino}`);
    const target = readlinkSync(path);
    if (target === launcher) return stat.birthtimeMs >= begun;
    return isBelow(target, paths.bin) || isBelow(target, paths.cache);
  });
};

const filesOfOurs = async (begun: number): Promise<readonly string[]> => {
  const cached = await cachedInodes();
  const programs = await Promise.all(programFolders.map((folder) => programsIn(folder, cached, begun)));
  const isOurs = async ({ path, text }: Trace): Promise<boolean> =>
    text === undefined ? (await statIfThere(path)) !== undefined : ((await readIfThere(path))?.includes(text) ?? false);
  const written = await Promise.all(traces.map(async (trace) => ((await isOurs(trace)) ? [trace.path] : [])));
  return [...programs, ...written].flat();
};

/**
 * Makes the entries of a lab whose ledger is lost, as the machine itself tells of them: its units by the programs that
 * they start, its programs by the files that they are links to. Empty where no unit of ours is here.
 */
export const entriesOfLostLab = async (): Promise<readonly LedgerEntry[]> => {
  const units = await unitsHere();
  if (units.length === 0) return [];
  const unitFiles = units.map((unit) => `${paths.units}/${unit}.service`);
  const begun = earliest([...unitFiles, ...ownFiles]);
  const files = await filesOfOurs(begun);
  const at = new Date(begun).toISOString();
  const entry = (step: string, undo: Undo): LedgerEntry => ({
    at,
    step,
    do: { kind: 'run', argv: [] },
    undo,
  });
  const stepOf = (unit: string): string => (components.includes(unit) ? unit : firstStep);
  // With tmux the units of components are sessions: any of them may run.
  const all = units.some((unit) => supervisorOfUnit(unit) === 'tmux') ? components : [];
  return [
    ...sharedFolders
      .filter((path) => (statSync(path, { throwIfNoEntry: false })?.birthtimeMs ?? 0) >= begun)
      .map((path) => entry(firstStep, { kind: 'remove-tree', path })),
    ...files.map((path) => entry(firstStep, { kind: 'remove', path })),
    ...all.map((name) => entry(name, { kind: 'unit', name, supervisor: 'tmux' })),
    ...units.flatMap((unit) => [
      entry(stepOf(unit), { kind: 'remove', path: `${paths.units}/${unit}.service` }),
      entry(stepOf(unit), { kind: 'unit', name: unit, supervisor: supervisorOfUnit(unit) }),
    ]),
  ];
};
