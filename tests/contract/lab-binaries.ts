import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arrival, provide } from '../../lib/binaries/provide.ts';
import { until } from '../../lib/engine/check.ts';
import { architectures } from '../../lib/engine/lab.ts';
import { takeLock } from '../../lib/engine/lock.ts';
import { needsOf } from '../../lib/engine/step.ts';
import { paths } from '../../lib/host/paths.ts';
import { type Ran, tryRun } from '../../lib/host/run.ts';
import { everyStep } from '../../steps/index.ts';

const needs = needsOf(everyStep);

/** Milliseconds that a cold cache may take: Go builds all of it in eleven minutes on two cores. */
export const coldCache = 40 * 60_000;

/** Every real binary of a lab, name to path. The test files run at the same time: one fills the cache, the others wait. */
export const labBinaries = async (): Promise<ReadonlyMap<string, string>> => {
  const arch = architectures[process.arch];
  if (!arch) throw new Error(`there are no binaries for ${process.arch}`);
  let release = (): void => {};
  await until(
    'another test file has filled the cache',
    async () => {
      release = takeLock(join(tmpdir(), 'hardway-test-binaries.lock'));
    },
    { signal: new AbortController().signal, deadline: coldCache },
  );
  try {
    const { binaries } = await provide({
      source: 'auto',
      binaries: [...needs.programs, ...needs.plugins],
      images: [],
      arch,
      cache: paths.cache,
      report: () => {},
    });
    return await arrival(binaries);
  } finally {
    release();
  }
};

const isRoot = process.getuid?.() === 0;

/** Runs a binary where it can reach nothing and nobody can reach it: in a network namespace without an interface. */
export const runAlone = (argv: readonly string[], options: Parameters<typeof tryRun>[2] = {}): Promise<Ran> =>
  tryRun('unshare', [isRoot ? '-n' : '-rn', ...argv], { timeout: 30_000, ...options });
