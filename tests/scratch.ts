import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const prefix = 'hardway-tests-';

/** Removes the folders of runs that were killed before they could: their names hold the pid of a process that is gone. */
const removeAbandoned = async (): Promise<void> => {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length).split('-')[0] : undefined;
    if (pid && !existsSync(`/proc/${pid}`)) await rm(join(tmpdir(), name), { recursive: true });
  }
};

/**
 * Gives each Vitest project a folder for the temporary files of the tests and of all that they start. It is removed
 * after the run; what a test has left in it fails the run.
 */
export const setup = async (): Promise<() => Promise<void>> => {
  await removeAbandoned();
  const former = tmpdir();
  const path = await mkdtemp(join(former, `${prefix}${process.pid}-`));
  process.env['TMPDIR'] = path;
  return async () => {
    process.env['TMPDIR'] = former;
    const left = await readdir(path);
    await rm(path, { recursive: true });
    if (left.length > 0) throw new Error(`tests left temporary files behind: ${left.join(', ')}`);
  };
};
