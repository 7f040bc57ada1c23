import { release } from 'node:os';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { versions } from '../../lib/binaries/versions.ts';
import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { within } from '../../lib/engine/check.ts';
import { sentenceOf, UserError } from '../../lib/engine/errors.ts';
import { ForeignLink } from '../../lib/host/anchor.ts';
import { formatDeed } from '../../lib/host/change.ts';
import { freeName, readIfThere, statIfThere, writeNew } from '../../lib/host/files.ts';
import { person } from '../../lib/host/person.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { stepsWith } from '../../steps/index.ts';
import type { Subject } from './looks.ts';
import { redacted } from './redact.ts';
import { linesOf, type Result } from './show.ts';

/** Log lines of each component that are in a report. */
const logLines = 200;

/** A file of a report. */
export interface Part {
  readonly path: string;
  readonly text: string;
}

const asJson = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

const versionsNow = async (): Promise<string> => {
  const system = /^PRETTY_NAME="?(.*?)"?$/m.exec((await readIfThere('/etc/os-release')) ?? '')?.[1];
  const { products, calico } = versions();
  return asJson({
    hardway: packageJson.version,
    node: process.version,
    system,
    kernel: release(),
    arch: process.arch,
    ...Object.fromEntries(Object.entries(products).map(([name, { version }]) => [name, version])),
    calico: calico.version,
  });
};

/** Returns the last log lines of each component of a lab. */
const logsOf = async ({ lab }: Subject): Promise<readonly Part[]> => {
  const { state } = (await lab()).old;
  if (!state) return [];
  const supervisor = supervisorOf(state.lab);
  const daemons = stepsWith(state.lab).filter(({ id, daemon }) => daemon && id in state.steps);
  return Promise.all(
    daemons.map(async ({ id }) => ({
      path: `logs/${id}.log`,
      text: `${(await supervisor.lastLog(id, logLines)).join('\n')}\n`,
    })),
  );
};

/** Milliseconds that a part of a report may take to be read. */
const partMs = 1500;

/** Returns the parts of a report; of one that cannot be read, the reason. */
const partsOf = async (subject: Subject, results: readonly Result[]): Promise<readonly Part[]> => {
  const read = async (path: string, make: () => Promise<readonly Part[]>): Promise<readonly Part[]> =>
    within(make, { limitMs: partMs }).catch((error: unknown) => [
      { path, text: `could not be read: ${sentenceOf(error)}\n` },
    ]);
  const one = (path: string, make: () => Promise<string>): Promise<readonly Part[]> =>
    read(path, async () => [{ path, text: await make() }]);
  const parts = await Promise.all([
    one('versions.json', versionsNow),
    one('findings.txt', async () => results.map(linesOf).join('')),
    one('findings.json', async () => asJson(results)),
    one('facts.json', async () => asJson(await subject.facts())),
    one('sources.json', async () => asJson(await subject.sources())),
    one('state.json', async () => asJson((await subject.lab()).old)),
    one('ledger.txt', async () =>
      (await subject.lab()).ledgerEntries
        .map(({ at, step, do: deed }) => `${at} ${step}: ${formatDeed(deed)}\n`)
        .join(''),
    ),
    read('logs.txt', () => logsOf(subject)),
  ]);
  return parts.flat();
};

/** Packs texts into a tar.gz, in a folder of their own, each without what looks like a secret. */
export const packed = async (parts: readonly Part[], now: Date): Promise<Buffer> => {
  const { Header } = await import('tar');
  const blocks = parts.flatMap(({ path, text }) => {
    const content = Buffer.from(redacted(text));
    const header = Buffer.alloc(512);
    new Header({ path: `hardway-report/${path}`, mode: 0o600, size: content.length, mtime: now, type: 'File' }).encode(
      header,
    );
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return promisify(gzip)(Buffer.concat([...blocks, Buffer.alloc(1024)])); // two empty blocks end a tar
};

/**
 * Prepares a report at a path; the returned function writes it, for the person who called sudo only, and returns the
 * path. Throws UserError where something is there already, which it would not be written over, or led through.
 */
export const reportTo = async (
  file: string,
): Promise<(subject: Subject, results: readonly Result[]) => Promise<string>> => {
  const path = resolve(file);
  const refuse = async (): Promise<never> => {
    throw new UserError(
      `${path} is there already, and is not overwritten`,
      `hardway doctor --report ${await freeName(path)}`,
    );
  };
  if (await statIfThere(path)) await refuse();
  return async (subject, results) => {
    const owner = subject.root ? (await person()).owner : undefined;
    const content = await packed(await partsOf(subject, results), new Date());
    try {
      await writeNew(path, content, { mode: 0o600, ...(owner && { owner }) });
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return refuse();
      const next = 'hardway doctor --report FILE, in a folder of your own';
      throw error instanceof ForeignLink
        ? new UserError(error.message, next)
        : new UserError(`the report is not written: ${sentenceOf(error)}`, next);
    }
  };
};
