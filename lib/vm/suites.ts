import { readdir, readFile } from 'node:fs/promises';
import { closest } from 'fastest-levenshtein';
import { UserError } from '../engine/errors.ts';
import { exists } from '../host/files.ts';
import { tryRun } from '../host/run.ts';
import type { Distribution } from './packages.ts';

/** Releases that a VM can be made of, the newest of a distribution first. */
const suites: Readonly<Record<string, Distribution>> = {
  resolute: 'ubuntu',
  noble: 'ubuntu',
  jammy: 'ubuntu',
  bookworm: 'debian',
  trixie: 'debian',
};

export const suiteNames = Object.keys(suites);

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

/** Folder of debootstrap's scripts, one a suite. */
const scripts = '/usr/share/debootstrap/scripts';

/** Scripts that those of all later suites of a distribution are links to. */
const lasting: Readonly<Record<Distribution, string>> = { debian: 'sid', ubuntu: 'gutsy' };

/**
 * Returns debootstrap's script for a suite. An older debootstrap has none for a newer suite, and that of its distribution
 * is the same. Throws a UserError where it has neither.
 */
export const scriptFor = async (
  { name, distribution }: Pick<Suite, 'name' | 'distribution'>,
  folder = scripts,
): Promise<string> => {
  for (const script of [name, lasting[distribution]].map((one) => `${folder}/${one}`))
    if (await exists(script)) return script;
  throw new UserError(
    `debootstrap on this machine has no script for ${name}, and none for ${distribution}`,
    'apt-get install debootstrap, or hardway vm create --suite bookworm',
  );
};

/** Reads debootstrap's default mirror of a suite from its script. */
const defaultMirror = async (suite: Pick<Suite, 'name' | 'distribution'>): Promise<string | undefined> => {
  const script = await scriptFor(suite)
    .then((path) => readFile(path, 'utf8'))
    .catch(() => '');
  const mirrors = [...script.matchAll(/default_mirror (\S+)/g)].map(([, mirror]) => mirror ?? '');
  const wanted = process.arch === 'x64' ? 'archive' : 'ports';
  return mirrors.find((mirror) => mirror.includes(`//${wanted}.`));
};

/**
 * Tells whether an archive has a suite and answers within some seconds. Uses wget, which debootstrap depends on and which
 * honours proxies.
 */
const answers = async (mirror: string, suite: string, seconds: number): Promise<boolean> => {
  const url = `${mirror.replace(/\/$/, '')}/dists/${suite}/InRelease`;
  const limits = [`--timeout=${seconds}`, '--tries=1'];
  const ran = await tryRun('wget', ['--spider', '-q', ...limits, url], { timeout: seconds * 1000 });
  return ran.code === 0;
};

/**
 * Returns the archive and the script that debootstrap is given for a suite; none where it knows both by itself. Throws a
 * UserError where there is no script, or the archive does not answer within 20 seconds.
 */
export const archiveFor = async (suite: Suite): Promise<readonly string[]> => {
  const script = await scriptFor(suite);
  const mirror = suite.mirror ?? (await defaultMirror(suite));
  if (!mirror) return [];
  if (await answers(mirror, suite.name, 20)) return [mirror, script];
  throw new UserError(
    `the archive ${mirror} of ${suite.distribution} ${suite.name} does not answer`,
    'hardway vm create --suite bookworm; or name a mirror in /etc/apt/sources.list, or a proxy in http_proxy',
  );
};

const suiteOf = async (name: string): Promise<Suite> => {
  const distribution = suites[name];
  if (distribution !== undefined) return { name, distribution, mirror: await configuredMirror(distribution) };
  throw new UserError(
    `--suite '${name}' is not one that a VM can be made of; there are: ${suiteNames.join(', ')}`,
    `hardway vm create --suite ${closest(name, suiteNames)}`,
  );
};

/**
 * Returns the suite asked for; without one Ubuntu noble (the guide's VM is an Ubuntu) where debootstrap knows it by name
 * and its archive answers within 3 seconds, else Debian bookworm. Throws a UserError for a name that is not a suite.
 */
export const chooseSuite = async (asked: string | undefined): Promise<Suite> => {
  if (asked !== undefined) return suiteOf(asked);
  const ubuntu = await suiteOf('noble');
  if (!(await exists(`${scripts}/${ubuntu.name}`))) return suiteOf('bookworm');
  const mirror = ubuntu.mirror ?? (await defaultMirror(ubuntu));
  return mirror && (await answers(mirror, ubuntu.name, 3)) ? { ...ubuntu, mirror } : suiteOf('bookworm');
};
