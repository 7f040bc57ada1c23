import { lstatSync, readlinkSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { supervisorOfUnit, unitsHere } from '../../lib/daemons/supervisor.ts';
import { ownUsers } from '../../lib/daemons/users.ts';
import type { LedgerEntry } from '../../lib/engine/ledger.ts';
import { needsOf, type Trace } from '../../lib/engine/step.ts';
import type { Undo } from '../../lib/host/change.ts';
import { readSmallIfThere, statIfThere } from '../../lib/host/files.ts';
import { launcher, paths, system } from '../../lib/host/paths.ts';
import { homesHere } from '../../lib/host/person.ts';
import { isBelow } from '../../lib/host/remove.ts';
import { components, everyStep, stepIds } from '../../steps/index.ts';

/** Returns the time at which the first of these files was made, in milliseconds of the Unix epoch. */
const earliest = (files: readonly string[]): number =>
  Math.min(...files.map((path) => statSync(path, { throwIfNoEntry: false })?.birthtimeMs || Date.now()));

/** Step that the changes are ascribed to which are none of a component's. */
const [firstStep = ''] = stepIds;

/** Folders that a lab puts programs into, beside those of others. */
const programFolders = [paths.links, system.cniPlugins];

/** Lists the files that a lab may have among those of the machine and in homes, by their full paths. */
const tracesHere = async (): Promise<readonly Trace[]> => {
  const homes = await homesHere();
  return everyStep
    .flatMap(({ traces = [] }) => traces)
    .flatMap((trace) =>
      trace.path.startsWith('~/') ? homes.map((home) => ({ ...trace, path: `${home}${trace.path.slice(1)}` })) : trace,
    );
};

/** Returns the folders around a path, the outer ones first. */
const around = (path: string): readonly string[] => {
  const folder = dirname(path);
  return folder === '/' ? [] : [...around(folder), folder];
};

/** Returns what a program and a link or copy of it have in common: name, size and time of change. */
const likenessOf = (path: string): string => {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() ? `${basename(path)} ${stat.size} ${Math.round(stat.mtimeMs)}` : '';
};

/** Lists the programs of our cache by their likeness. */
const cachedPrograms = async (): Promise<ReadonlySet<string>> => {
  const names = await readdir(`${paths.cache}/bin`, { recursive: true }).catch(() => []);
  return new Set(names.map((name) => likenessOf(`${paths.cache}/bin/${name}`)).filter((likeness) => likeness !== ''));
};

/**
 * Tells whether a program is one of ours: a link to our files, or like one in the cache. A link to the command itself
 * counts from `begun` on, in milliseconds of the Unix epoch: an older one is somebody's own.
 */
const isOurProgram = (path: string, cached: ReadonlySet<string>, begun: number): boolean => {
  const stat = lstatSync(path);
  if (!stat.isSymbolicLink()) return cached.has(likenessOf(path));
  const target = readlinkSync(path);
  if (target === launcher) return stat.birthtimeMs >= begun;
  return isBelow(target, paths.bin) || isBelow(target, paths.cache);
};

/** Lists where a lab may have put a program: the folders are those of others too. */
export const programPlaces = (): readonly string[] => {
  const { programs, plugins } = needsOf(everyStep);
  return programFolders.flatMap((folder) =>
    [...programs, ...plugins, basename(launcher)].map((name) => `${folder}/${name}`),
  );
};

/** Lists what is in these places. */
const programsHere = async (): Promise<readonly string[]> => {
  const found = programPlaces().map(async (path) => ((await statIfThere(path)) ? [path] : []));
  return (await Promise.all(found)).flat();
};

/** Lists the files that are ours by their names, or by what is in them; one that cannot be read is somebody else's. */
const writtenFiles = async (traces: readonly Trace[]): Promise<readonly string[]> => {
  const found = traces.map(async ({ path, isOurs }) => {
    const content = await readSmallIfThere(path).catch(() => undefined);
    return content !== undefined && (isOurs?.(content) ?? true) ? [path] : [];
  });
  return (await Promise.all(found)).flat();
};

/** What is known of a lab whose ledger is lost. */
export interface LostLab {
  /** Changes, as the machine itself tells of them; empty where no unit of ours is here. */
  readonly entries: readonly LedgerEntry[];
  /** A sentence for each thing of which the machine does not tell whether it is ours. */
  readonly unknown: readonly string[];
}

/**
 * Makes the entries of a lab whose ledger is lost: its units by the programs that they start, its programs by the files
 * that they are links to, other changes by what they bear.
 */
export const findLostLab = async (): Promise<LostLab> => {
  const units = await unitsHere();
  if (units.length === 0) return { entries: [], unknown: [] };
  const traces = await tracesHere();
  const onlyOurs = traces.flatMap(({ path, isOurs }) => (isOurs ? [] : [path]));
  const begun = earliest([...units.map((unit) => `${paths.units}/${unit}.service`), ...onlyOurs]);
  const cached = await cachedPrograms();
  const programs = Map.groupBy(await programsHere(), (path) => isOurProgram(path, cached, begun));
  const written = await writtenFiles(traces);
  const marked = (await Promise.all(everyStep.map(async ({ marked: find }) => (await find?.()) ?? []))).flat();
  const made = [...programFolders.map((folder) => `${folder}/any`), `${system.cniConfig}/any`]
    .concat(traces.map(({ path }) => path))
    .flatMap(around);
  const sinceThen = (path: string): boolean => (lstatSync(path, { throwIfNoEntry: false })?.birthtimeMs ?? 0) >= begun;
  const at = new Date(begun).toISOString();
  const entry = (step: string, undo: Undo): LedgerEntry => ({ at, step, do: { kind: 'run', argv: [] }, undo });
  const stepOf = (unit: string): string => (components.includes(unit) ? unit : firstStep);
  // With tmux the units of components are sessions: any of them may run.
  const all = units.some((unit) => supervisorOfUnit(unit) === 'tmux') ? components : [];
  const entries = [
    // They go only if nothing is in them.
    ...[...new Set(made)].filter(sinceThen).map((path) => entry(firstStep, { kind: 'remove-tree', path })),
    ...[...(programs.get(true) ?? []), ...written].map((path) => entry(firstStep, { kind: 'remove', path })),
    ...(await ownUsers()).map((name) => entry(firstStep, { kind: 'user', name })),
    ...marked.map((undo) => entry(firstStep, undo)),
    ...all.map((name) => entry(name, { kind: 'unit', name, supervisor: 'tmux' })),
    ...units.flatMap((unit) => [
      entry(stepOf(unit), { kind: 'remove', path: `${paths.units}/${unit}.service` }),
      entry(stepOf(unit), { kind: 'unit', name: unit, supervisor: supervisorOfUnit(unit) }),
    ]),
  ];
  const unknown = [
    `${paths.ledger} is lost, and with it which packages were installed, which modules loaded and which kernel parameters set`,
    ...(programs.get(false) ?? [])
      .filter(sinceThen)
      .map((path) => `${path} is no program of ${paths.cache}, and may be hardway's or somebody else's`),
  ];
  return { entries, unknown };
};
