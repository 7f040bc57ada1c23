import type { Undo } from './change.ts';
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
    const purge: Undo = { kind: 'run', argv: [...apt, 'purge', ...(added ?? packages)] };
    const undo = added?.length === 0 ? undefined : purge;
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
