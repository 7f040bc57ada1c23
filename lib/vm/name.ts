import { closest, distance } from 'fastest-levenshtein';
import { UserError } from '../engine/errors.ts';

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
