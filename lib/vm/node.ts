import { existsSync } from 'node:fs';
import { UserError } from '../engine/errors.ts';
import { paths } from '../host/paths.ts';
import { tryRun } from '../host/run.ts';

/**
 * Installs a Node for the VMs into the cache, if none is there: their distribution's is too old, and they have no
 * network.
 */
export const ensureNode = async (report: (line: string) => void): Promise<void> => {
  const prefix = `${paths.cache}/node`;
  if (existsSync(`${prefix}/node_modules/node/bin/node`)) return;
  report('Fetching Node 24 for the VMs');
  const ran = await tryRun('npm', ['install', '--no-audit', '--no-fund', '--prefix', prefix, 'node@24']);
  if (ran.code === 0) return;
  const reason = ran.stderr.trim().split('\n').at(-1) ?? '';
  throw new UserError(
    `The VMs need Node 24 in ${prefix}, and npm could not bring it: ${reason}`,
    `npm install --prefix ${prefix} node@24`,
  );
};
