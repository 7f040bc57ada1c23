import { createHash } from 'node:crypto';
import type { Undo } from './change.ts';
import { readBytes } from './files.ts';
import { CommandFailed, findCommand, runShown, tryRun } from './run.ts';

/** Runs a command that changes the machine, given with its undo: `host.sh` where a ledger is kept. */
export type Perform = (argv: readonly string[], undo?: Undo) => Promise<void>;

// Another apt, such as the one that a cloud image runs at its first boot, holds dpkg's lock for a while.
const apt = ['apt-get', '-y', '-o', 'DPkg::Lock::Timeout=120'];

/** Tells whether this machine has apt-get. */
export const hasApt = async (): Promise<boolean> => (await findCommand('apt-get')) !== undefined;

/**
 * The packages that `apt-get install --simulate` says it would add. One that is there and would only be upgraded, which
 * has its old version in brackets, is not among them: an undo must not remove it.
 */
export const addedPackages = (simulation: string): readonly string[] =>
  [...simulation.matchAll(/^Inst (\S+) \(/gm)].map(([, name = '']) => name);

/**
 * Lists the packages that an install would add; undefined where apt knows no such package, as with the empty lists of a
 * new machine.
 */
const simulate = async (packages: readonly string[]): Promise<readonly string[] | undefined> => {
  const args = ['install', '--simulate', '--no-install-recommends', ...packages];
  const { stdout, code } = await tryRun('apt-get', args, { env: { LC_ALL: 'C' } });
  return code === 0 ? addedPackages(stdout) : undefined;
};

/** Runs the command and returns why it failed, if it did. Throws what is no failure of the command. */
const failureOf = async (performed: Promise<void>): Promise<CommandFailed | undefined> => {
  try {
    await performed;
    return undefined;
  } catch (error) {
    if (error instanceof CommandFailed) return error;
    throw error;
  }
};

/**
 * Installs packages with apt-get; the undo purges exactly those that come to the machine with it. The package lists are
 * updated where they do not have the packages, or where they are older than the archive so that a download fails.
 * Throws CommandFailed with apt's own words: those of the update, where that is what failed first.
 */
export const installPackages = async (
  packages: readonly string[],
  perform: Perform = (argv) => runShown(argv),
): Promise<void> => {
  const install = async (added: readonly string[] | undefined): Promise<CommandFailed | undefined> => {
    const undo: Undo | undefined = added?.length === 0 ? undefined : { kind: 'packages', names: added ?? packages };
    return failureOf(perform([...apt, 'install', '--no-install-recommends', ...packages], undo));
  };
  const known = await simulate(packages);
  const first = known && (await install(known));
  if (known && !first) return;
  // Without this mode apt only warns of lists that it cannot fetch, and the install would fail for a reason far from it.
  const stale = await failureOf(perform([...apt, '-o', 'APT::Update::Error-Mode=any', 'update']));
  const failed = await install(await simulate(packages));
  if (failed) throw stale ?? failed;
};

/** Lists those of these packages that are on this machine, also one of which only settings are left. */
export const installed = async (names: readonly string[]): Promise<readonly string[]> => {
  const { stdout } = await tryRun('dpkg-query', ['-W', '-f', `\${Package} \${Status}\n`, ...names]);
  const there = new Set(
    stdout
      .split('\n')
      .filter((line) => / (installed|config-files|half-\S+|unpacked|triggers-\S+)$/.test(line))
      .map((line) => line.split(' ')[0]),
  );
  return names.filter((name) => there.has(name.replace(/:.*/, '')));
};

/** The packages that `apt-get purge --simulate` says it would remove (apt-get(8): Remv, and Purg with their settings). */
export const removedPackages = (simulation: string): readonly string[] => [
  ...new Set([...simulation.matchAll(/^(?:Purg|Remv) (\S+) \[/gm)].map(([, name = '']) => name)),
];

/** Finds a file of settings of these packages that is not as its package brought it (deb-conffiles(5)). */
const changedSettings = async (names: readonly string[]): Promise<string | undefined> => {
  const { stdout } = await tryRun('dpkg-query', ['-W', '-f', `\${Conffiles}\n`, ...names]);
  for (const [, path = '', sum] of stdout.matchAll(/^ (\/.+) ([0-9a-f]{32})$/gm)) {
    const now = await readBytes(path).catch(() => undefined);
    if (now && createHash('md5').update(now).digest('hex') !== sum) return path;
  }
  return undefined;
};

/**
 * Tells why packages are not to be purged: with them apt would remove others, which rest on them, or somebody changed
 * their settings. Undefined where nothing is against it.
 */
export const reasonToKeep = async (names: readonly string[]): Promise<string | undefined> => {
  const args = ['purge', '--simulate', ...names];
  const { stdout, stderr, code } = await tryRun('apt-get', args, { env: { LC_ALL: 'C' } });
  if (code !== 0) return `apt-get cannot say what would go with it: ${stderr.trim().split('\n').at(-1)}`;
  const others = removedPackages(stdout).filter((name) => !names.includes(name));
  if (others.length > 0) return `${others.join(', ')} ${others.length > 1 ? 'rest' : 'rests'} on it`;
  const changed = await changedSettings(names);
  return changed && `${changed} was changed since`;
};

/** Removes packages with their settings. */
export const purge = (names: readonly string[]): Promise<void> => runShown([...apt, 'purge', ...names]);
