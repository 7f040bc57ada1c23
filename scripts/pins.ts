// npm run --silent pins | git apply: newer patch releases in versions.yaml, and published checksums in sums.txt.
// The patch goes to stdout, what is new to stderr. HARDWAY_MIRROR is asked as for downloads.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mirrored } from '../lib/binaries/download.ts';
import { reasonOf, UserError } from '../lib/engine/errors.ts';
import { tryRun } from '../lib/host/run.ts';
import { propose } from './propose.ts';

const folder = 'lib/binaries';
const files = ['versions.yaml', 'sums.txt'] as const;
const here = (name: string): string => join(import.meta.dirname, '..', folder, name);

const ask = async (url: string): Promise<string> => {
  const address = mirrored(url);
  const response = await fetch(address, { signal: AbortSignal.timeout(30_000) }).catch((error: unknown) => {
    throw new UserError(`${address} cannot be asked: ${reasonOf(error)}`, 'run it where the sites of releases answer');
  });
  if (!response.ok) throw new UserError(`${address} answered ${response.status}`, `look at ${address}`);
  return response.text();
};

/** Returns a patch of one file; empty where it stays as it is. */
const patchOf = async (name: string, old: string, proposed: string, scratch: string): Promise<string> => {
  await writeFile(join(scratch, 'old'), old);
  await writeFile(join(scratch, 'new'), proposed);
  const labels = [`a/${folder}/${name}`, `b/${folder}/${name}`].flatMap((label) => ['--label', label]);
  const { stdout } = await tryRun('diff', ['-u', ...labels, join(scratch, 'old'), join(scratch, 'new')]);
  return stdout && `${stdout}\n`;
};

const scratch = await mkdtemp(join(tmpdir(), 'hardway-pins-'));
try {
  const [versions, sums] = await Promise.all([readFile(here(files[0]), 'utf8'), readFile(here(files[1]), 'utf8')]);
  const proposed = await propose(versions, sums, ask);
  for (const line of proposed.news) process.stderr.write(`${line}\n`);
  process.stdout.write(await patchOf(files[0], versions, proposed.versions, scratch));
  process.stdout.write(await patchOf(files[1], sums, proposed.sums, scratch));
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`${error.message}\nnext: ${error.next}\n`);
  process.exitCode = 2;
} finally {
  await rm(scratch, { recursive: true });
}
