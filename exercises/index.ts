import type { Exercise } from './exercise.ts';
import { pending } from './pending.ts';
import { twoNetworks } from './two-networks.ts';

/** Every exercise, the easier ones first. */
export const exercises: readonly Exercise[] = [pending, twoNetworks];
