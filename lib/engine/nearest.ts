import { closest } from 'fastest-levenshtein';
import { UserError } from './errors.ts';

/** Returns `value` as one of `allowed`. Throws UserError that names the nearest one and all of them. */
export const parseChoice = <Name extends string>(what: string, allowed: readonly Name[], value: string): Name => {
  const found = allowed.find((name) => name === value);
  if (found !== undefined) return found;
  throw new UserError(
    `there is no ${what} ${JSON.stringify(value)}; did you mean ${closest(value, allowed)}?`,
    `one of: ${allowed.join(', ')}`,
  );
};
