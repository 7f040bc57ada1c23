import { defineConfig } from 'vitest/config';
import { tally } from './tests/tally.ts';

const minute = 60_000;
const emulated = ['tests/e2e/ubuntu.test.ts'];
/** One VM after the other: two clusters at once on two cores would only make each other time out. */
const inVms = { globalSetup: ['tests/scratch.ts', 'tests/e2e/setup.ts'], fileParallelism: false };

/**
 * The kinds of test, by what they may touch: nothing, this machine's own tools, a container VM, an emulated machine.
 * `bin/test` names them.
 */
export default defineConfig({
  test: {
    reporters: ['default', tally],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['tests/unit/**/*.test.ts'],
          globalSetup: ['tests/scratch.ts'],
          testTimeout: minute,
        },
      },
      {
        test: {
          name: 'contract',
          include: ['tests/contract/**/*.test.ts'],
          globalSetup: ['tests/scratch.ts'],
          testTimeout: 2 * minute,
          hookTimeout: 2 * minute,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          exclude: emulated,
          ...inVms,
          testTimeout: 20 * minute,
          hookTimeout: 40 * minute,
        },
      },
      {
        // bin/test runs it beside `e2e` with the time that it leaves over, hence the longer waits.
        test: { name: 'emulated', include: emulated, ...inVms, testTimeout: 40 * minute, hookTimeout: 60 * minute },
      },
    ],
  },
});
