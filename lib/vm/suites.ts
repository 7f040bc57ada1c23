import { readdir, readFile } from 'node:fs/promises';
import { closest } from 'fastest-levenshtein';
import { UserError } from '../engine/errors.ts';
import { tryRun } from '../host/run.ts';
import type { Distribution } from './packages.ts';

/** Releases that a VM can be made of; the first of a distribution is its default. */
const suites: Readonly<Record<string, Distribution>> = {
  noble: 'ubuntu',
  jammy: 'ubuntu',
  bookworm: 'debian',
  trixie: 'debian',
};

export interface Suite {
  readonly name: string;
  readonly distribution: Distribution;
  /** Archive of its packages; undefined for debootstrap's own default. */
  readonly mirror: string | undefined;
}

/** Finds the archive of a distribution in an apt source file of either format (sources.list(5)). */
export const mirrorIn = (source: string, distribution: Distribution): string | undefined =>
  source
    .split('\n')
    .filter((line) => /^\s*(deb\s|URIs:)/.test(line))
    .flatMap((line) => line.split(/\s+/))
    .find((word) => new RegExp(`^https?://.*/${distribution}(-ports)?/?$`).test(word));

const configuredMirror = async (distribution: Distribution): Promise<string | undefined> => {
  const folder = '/etc/apt/sources.list.d';
  const parts = await readdir(folder).catch(() => []);
  const files = ['/etc/apt/sources.list', ...parts.sort().map((part) => `${folder}/${part}`)];
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return mirrorIn(texts.join('\n'), distribution);
};

/** Reads debootstrap's default mirror of a suite from its script for that suite. */
const defaultMirror = async (suite: string): Promise<string | undefined> => {
  const script = await readFile(`/usr/share/debootstrap/scripts/${suite}`, 'utf8').catch(() => '');
  const mirrors = [...script.matchAll(/default_mirror (\S+)/g)].map(([, mirror]) => mirror ?? '');
  const wanted = process.arch === 'x64' ? 'archive' : 'ports';
  return mirrors.find((mirror) => mirror.includes(`//${wanted}.`));
};

/**
 * Tells whether an archive answers within 3 seconds. Uses wget, which debootstrap depends on and which honours proxies.
 */
const answers = async (mirror: string, suite: string): Promise<boolean> => {
  const url = `${mirror.replace(/\/$/, '')}/dists/${suite}/InRelease`;
  const ran = await tryRun('wget', ['--spider', '-q', '--timeout=3', '--tries=1', url], { timeout: 3000 });
  return ran.code === 0;
};

const suiteOf = async (name: string): Promise<Suite> => {
  const distribution = suites[name];
  if (distribution !== undefined) return { name, distribution, mirror: await configuredMirror(distribution) };
  const known = Object.keys(suites);
  throw new UserError(
    `--suite '${name}' is not one that a VM can be made of; there are: ${known.join(', ')}`,
    `hardway vm create --suite ${closest(name, known)}`,
  );
};

/**
 * Returns the suite asked for; without one Ubuntu noble (the guide's VM is an Ubuntu) where its archive answers within
 * 3 seconds, else Debian bookworm. Throws a UserError for a name that is not a suite.
 */
export const chooseSuite = async (asked: string | undefined): Promise<Suite> => {
  if (asked !== undefined) return suiteOf(asked);
  const ubuntu = await suiteOf('noble');
  const mirror = ubuntu.mirror ?? (await defaultMirror(ubuntu.name));
  return mirror && (await answers(mirror, ubuntu.name)) ? { ...ubuntu, mirror } : suiteOf('bookworm');
};
