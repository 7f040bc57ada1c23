import { UserError } from '../../../lib/engine/errors.ts';

/** Finds an object by name among those of its namespace. Throws UserError that lists what there is. */
export const named = <T extends { readonly metadata: { readonly name: string } }>(
  kind: string,
  items: readonly T[],
  name: string,
  namespace: string,
): T => {
  const found = items.find(({ metadata }) => metadata.name === name);
  if (found) return found;
  throw new UserError(
    `there is no ${kind} ${name} in the namespace ${namespace}`,
    `one of: ${items.map(({ metadata }) => metadata.name).join(', ') || 'none'}; -n for another namespace`,
  );
};
