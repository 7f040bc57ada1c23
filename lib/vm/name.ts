import { closest, distance } from 'fastest-levenshtein';
import { UserError } from '../engine/errors.ts';

/**
 * A VM's name is a folder's, a cgroup's and a unit's, so it is a word: a lower-case letter, then letters, digits or
 * dashes, 30 at most. Throws a UserError otherwise.
 */
export const checkName = (name: string): string => {
  if (/^[a-z][a-z0-9-]{0,29}$/.test(name)) return name;
  throw new UserError(
    `'${name}' cannot be the name of a VM: a lower-case letter first, then lower-case letters, digits or dashes, 30 at most`,
    'hardway vm create lab',
  );
};

/** The error for a VM that is not there: the nearest name when one is near, else the ones there are. */
export const unknownVm = (name: string, names: readonly string[]): UserError => {
  const message = `There is no VM named '${name}'`;
  if (names.length === 0) return new UserError(`${message}: there is none at all`, `hardway vm up ${name}`);
  const nearest = closest(name, [...names]);
  const hint = distance(name, nearest) <= 2 ? ` Did you mean '${nearest}'?` : '';
  return new UserError(`${message}.${hint} There are: ${names.join(', ')}`, 'hardway vm list');
};
