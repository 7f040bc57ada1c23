import { readdir } from 'node:fs/promises';
import { scratchFolder } from './fixtures.ts';

/**
 * Gives each Vitest project a folder for the temporary files of the tests and of all that they start. It is removed
 * after the run; what a test has left in it fails the run.
 */
export const setup = async (): Promise<() => Promise<void>> => {
  const { path, remove } = await scratchFolder();
  const former = process.env['TMPDIR'] ?? '/tmp';
  process.env['TMPDIR'] = path;
  return async () => {
    process.env['TMPDIR'] = former;
    const left = await readdir(path);
    await remove();
    if (left.length > 0) throw new Error(`tests left temporary files behind: ${left.join(', ')}`);
  };
};
