import { UserError } from '../engine/errors.ts';
import type { Machine } from './machine.ts';

const not = (): never => {
  throw new UserError('--kind qemu is not there yet', 'hardway vm create --kind container');
};
export const qemu: Machine = { prepare: not, create: not, boot: not, entry: not, powerOff: not, kill: not, clean: not };
