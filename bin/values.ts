import type { Argument, Option } from 'commander';

/**
 * Names the values of an option or argument: help and the completion of a shell list them. Whoever reads it refuses
 * others, with the nearest.
 */
export const oneOf = <Declared extends Option | Argument>(declared: Declared, values: readonly string[]): Declared => {
  declared.choices(values).argParser((value: string) => value);
  return declared;
};
