import { appendFileSync } from 'node:fs';
import type { Reporter } from 'vitest/node';

/**
 * For bin/test: appends a word a test (passed, failed or skipped) to the file that HARDWAY_TALLY names, and prints why
 * a test was skipped. A file that could not be read and an error outside of any test are failures too.
 */
export const tally: Reporter = {
  onTestRunEnd: (modules, unhandled) => {
    const file = process.env['HARDWAY_TALLY'];
    const words = unhandled.map(() => 'failed');
    for (const module of modules) {
      if (module.errors().length > 0) words.push('failed');
      for (const test of module.children.allTests()) {
        const result = test.result();
        words.push(result.state === 'passed' || result.state === 'failed' ? result.state : 'skipped');
        if (result.state === 'skipped') console.log(`skipped: ${test.fullName}: ${result.note ?? 'no reason given'}`);
      }
    }
    if (file !== undefined) appendFileSync(file, words.map((word) => `${word}\n`).join(''));
  },
};
