import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { Unhealthy } from '../engine/errors.ts';
import { requireOwnCache } from '../engine/own.ts';
import { sha256 } from '../host/files.ts';
import { mountsBelow } from '../host/mounts.ts';
import { paths } from '../host/paths.ts';
import { identify } from '../host/proc.ts';
import { removeTree } from '../host/remove.ts';
import { run, tryRun } from '../host/run.ts';
import { install, type Making } from './needs.ts';
import { packagesFor } from './packages.ts';
import type { Flavour, Kind } from './record.ts';
import { archiveFor, type Suite } from './suites.ts';

export interface TreeOptions extends Making {
  readonly suite: Suite;
  readonly kind: Kind;
  readonly flavour: Flavour;
}

const ubuntuLike = `${import.meta.dirname}/ubuntu-like.sh`;
const arch = process.arch === 'arm64' ? 'arm64' : 'x64';

/** Returns the name of the cached tree of a suite and its packages. */
export const treeName = ({ suite, kind, flavour }: Omit<TreeOptions, keyof Making>): string => {
  const packages = packagesFor(suite.distribution, kind, flavour, arch);
  const recipe = [packages.join(' '), ...(flavour === 'ubuntu-like' ? [readFileSync(ubuntuLike, 'utf8')] : [])];
  const hash = sha256(recipe.join('\n')).slice(0, 12);
  return `${suite.name}-${arch}-${hash}`;
};

/** Removes the folders of interrupted builds: their names end with the pid of the builder. */
const sweep = async (): Promise<void> => {
  for (const entry of await readdir(`${paths.cache}/vm`).catch(() => [])) {
    const [, pid] = entry.match(/\.new-(\d+)$/) ?? [];
    if (pid && !identify(Number(pid))) await rm(`${paths.cache}/vm/${entry}`, { recursive: true, force: true });
  }
};

/**
 * Builds something below <cache>/vm, unless it is there. It is built in a temporary folder that is renamed at the end,
 * so that what has the name is complete.
 */
export const cached = async (name: string, build: (folder: string) => Promise<void>): Promise<string> => {
  const place = `${paths.cache}/vm/${name}`;
  // Only root may enter: a tree has setuid programs, which nobody updates.
  await mkdir(`${paths.cache}/vm`, { recursive: true });
  await chmod(`${paths.cache}/vm`, 0o700);
  await requireOwnCache(place, paths.cache);
  if (existsSync(place)) return place;
  await sweep();
  const temporary = `${place}.new-${process.pid}`;
  await mkdir(temporary, { recursive: true });
  try {
    await build(temporary);
    // Another process may have built the same meanwhile; its result is equal.
    await rename(temporary, place).catch((error) => {
      if (!existsSync(place)) throw error;
    });
  } finally {
    // debootstrap mounts /proc in it; one that was killed left that there.
    for (const point of mountsBelow(temporary)) await tryRun('umount', [point]);
    await removeTree(temporary);
  }
  return place;
};

/**
 * Returns the cached folder with the root file system of such a VM; debootstrap builds it at the first call, and nobody
 * writes to it afterwards. Throws Unhealthy with the end of debootstrap's log when that fails.
 */
export const cachedTree = ({ suite, kind, flavour, report, signal }: TreeOptions): Promise<string> => {
  const name = treeName({ suite, kind, flavour });
  return cached(name, async (folder) => {
    const keyring = `/usr/share/keyrings/${suite.distribution}-archive-keyring.gpg` as const;
    await install(['debootstrap', keyring], { report, signal });
    const archive = await archiveFor(suite);
    report(`Building a ${suite.distribution} ${suite.name} tree with debootstrap (once; a minute or two)`);
    const debs = `${paths.cache}/vm/debs`;
    const log = `${paths.cache}/vm/${name}.log`;
    await mkdir(debs, { recursive: true });
    const packages = packagesFor(suite.distribution, kind, flavour, arch);
    const args = [
      '--variant=minbase',
      '--force-check-gpg',
      `--keyring=${keyring}`,
      `--cache-dir=${debs}`,
      ...(suite.distribution === 'ubuntu' ? ['--components=main,universe'] : []),
      `--include=${packages.join(',')}`,
      suite.name,
      folder,
      ...archive,
    ];
    const logged = 'log=$1; shift; exec debootstrap "$@" >"$log" 2>&1';
    const ran = await tryRun('sh', ['-c', logged, 'debootstrap', log, ...args], {
      env: { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
      timeout: 3_600_000,
      signal,
    });
    if (ran.code !== 0) {
      const { stdout } = await tryRun('tail', ['-n', '8', log]);
      throw new Unhealthy(`debootstrap could not build ${suite.name} (all of it: ${log})`, {
        log: `${stdout}\n${ran.stderr}`.trim().split('\n'),
        next: 'hardway vm create --suite bookworm',
      });
    }
    // Removes this machine's resolv.conf and hostname, and apt's lists and cache, which age.
    const useless = ['etc/resolv.conf', 'etc/hostname', 'var/lib/apt/lists', 'var/cache/apt', 'var/log/bootstrap.log'];
    for (const path of useless) await rm(`${folder}/${path}`, { recursive: true, force: true });
    await run('sh', ['-c', ': >"$1/etc/machine-id"; chmod 755 "$1"', 'sh', folder], { signal });
    if (flavour === 'ubuntu-like') {
      // In a network namespace of its own, so that ufw does not change this machine's rules.
      await run('unshare', ['--net', 'chroot', folder, 'sh', '-s'], {
        input: readFileSync(ubuntuLike, 'utf8'),
        timeout: 300_000,
        signal,
      });
    }
  });
};
