import { UserError } from '../lib/engine/errors.ts';
import { readState, type State } from '../lib/engine/state.ts';
import { paths } from '../lib/host/paths.ts';

/** Returns the state of this machine's lab. Throws UserError where there is none, or the user is not root. */
export const requireLab = async (): Promise<State> => {
  if (process.getuid?.() !== 0) throw new UserError(`${paths.root} belongs to root`, 'the same command with sudo');
  const state = await readState(paths.state);
  if (!state) throw new UserError('there is no lab on this machine', 'hardway up, or hardway vm up for one in a VM');
  return state;
};

/** Returns the command that undoes the steps after one, or everything. */
export const resetTo = (step: string | undefined): string =>
  `hardway reset${step === undefined ? '' : ` --to ${step}`}`;
