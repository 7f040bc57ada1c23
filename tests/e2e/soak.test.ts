import { afterAll, beforeAll, test } from 'vitest';
import type { Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm } from './lib.ts';
import { soak } from './soak.ts';

const name = 'e2e-soak';
let vm: Vm;
beforeAll(async () => {
  vm = await freshVm(name);
});
afterAll(() => dropVm(name));

test('30 rounds of up and reset, killed at random instants, end with a working cluster or the machine as it was', () =>
  soak(vm, { rounds: 30, seed: Date.now() % 1e6, report: (line) => console.log(line) }));
