import { defineConfig } from 'vitest/config';
import { tally } from './tests/tally.ts';

const minute = 60_000;

/** Three kinds of test, by what they may touch: nothing, this machine's own tools, a VM. `bin/test` names them. */
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
        // One VM after the other: two clusters at once on two cores would only make each other time out.
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          globalSetup: ['tests/scratch.ts', 'tests/e2e/setup.ts'],
          fileParallelism: false,
          testTimeout: 20 * minute,
          hookTimeout: 40 * minute,
        },
      },
    ],
  },
});
