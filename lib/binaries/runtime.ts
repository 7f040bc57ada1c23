import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../engine/errors.ts';
import { type Arch, architectures } from '../engine/lab.ts';
import { exists, readText, sha256OfFile } from '../host/files.ts';
import type { FileProgress } from './progress.ts';

/** What hardway itself runs on, packed so that a shell and tar(1) can unpack it: gzip is on every Debian, zstd is not. */
interface Packed {
  readonly name: string;
  readonly of: string;
  readonly version: string;
}

interface Options {
  readonly arch: Arch;
  readonly cache: string;
  readonly report: (progress: FileProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Packs files without owners and times: the same files give the same bytes. */
const packGzip = async (cwd: string, file: string, entries: readonly string[]): Promise<void> => {
  const { create } = await import('tar');
  await create({ cwd, file, portable: true, mtime: new Date(0), gzip: { level: 6 } }, [...entries]);
};

/** Tells whether this Node brings its libraries along; a distribution's own looks for them on the machine. */
const isSelfContained = (): boolean =>
  Object.entries(process.config.variables).every(
    ([name, value]) => !/^node_shared/.test(name) || `${value}` !== 'true',
  );

/** Fetches the release of Node that the launcher knows, as bin/node.sh does, and takes its program out of it. */
const fetchNode = async (project: string, output: string, { arch, cache, report, signal }: Options) => {
  const launcher = await readText(join(project, 'bin/node.sh'));
  const theirs = Object.entries(architectures).find(([, ours]) => ours === arch)?.[0] ?? arch;
  const assigned = (name: string): string => new RegExp(`^${name}=(\\S+)$`, 'm').exec(launcher)?.[1] ?? '';
  const version = assigned('node_release');
  const name = `node-${version}-linux-${theirs}`;
  const downloads = join(cache, 'downloads');
  await mkdir(downloads, { recursive: true });
  const tarball = join(downloads, `${name}.tar.gz.part`);
  const { fetchVerified } = await import('./download.ts');
  const url = `https://nodejs.org/dist/${version}/${name}.tar.gz`;
  await fetchVerified(name, url, assigned(`node_sha256_${theirs}`), tarball, { report, signal });
  const { unpack } = await import('./unpack.ts');
  await unpack(tarball, new Map([[`${name}/bin/node`, output]]));
  await rm(tarball, { force: true });
  return version;
};

/**
 * Packs Node into `folder`: the one that runs this, where it is for that architecture and needs no library of its
 * distribution, else the release that the launcher knows. Throws UserError where that cannot be fetched.
 */
export const packNode = async (project: string, folder: string, options: Options): Promise<Packed> => {
  const work = await mkdtemp(join(folder, 'node.'));
  try {
    await mkdir(join(work, 'node/bin'), { recursive: true });
    const program = join(work, 'node/bin/node');
    const own = options.arch === architectures[process.arch] && isSelfContained();
    if (own) await copyFile(process.execPath, program);
    const version = own ? process.version : await fetchNode(project, program, options);
    const name = `node-${version}-${options.arch}.tar.gz`;
    await packGzip(work, join(folder, name), ['node/bin/node']);
    return { name, of: 'node', version };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
};

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly version?: string }>>;
}

/** Lists the files of a folder, sorted, as paths relative to `root`. */
const filesIn = async (root: string, folder: string): Promise<readonly string[]> => {
  const { readdir } = await import('node:fs/promises');
  const entries = await readdir(join(root, folder), { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .toSorted();
};

/**
 * Packs the npm packages that hardway runs with into `folder`, without those that only its tests need. Its name has the
 * checksum of the lock file, so that the launcher takes no others. Throws UserError where one is missing.
 */
export const packPackages = async (project: string, folder: string): Promise<Packed> => {
  const lock = join(project, 'package-lock.json');
  const { packages, ...about }: LockFile = JSON.parse(await readText(lock));
  const wanted = Object.entries(packages).filter(([path, { dev }]) => path.startsWith('node_modules/') && !dev);
  const absent: string[] = [];
  for (const [path] of wanted) if (!(await exists(join(project, path)))) absent.push(path);
  if (absent.length > 0)
    throw new UserError(`npm packages are missing: ${absent.join(', ')}`, `cd ${project} && npm ci`);
  const work = await mkdtemp(join(folder, 'packages.'));
  try {
    const files = await Promise.all(wanted.map(([path]) => filesIn(project, path)));
    for (const file of new Set(files.flat())) {
      await mkdir(dirname(join(work, file)), { recursive: true });
      await copyFile(join(project, file), join(work, file));
    }
    // npm reads here what is installed; so does the launcher, which compares its age with that of the lock file.
    const installed = { ...about, packages: Object.fromEntries(wanted) };
    await writeFile(join(work, 'node_modules/.package-lock.json'), `${JSON.stringify(installed, undefined, 2)}\n`);
    const name = `packages-${(await sha256OfFile(lock)).slice(0, 16)}.tar.gz`;
    await packGzip(work, join(folder, name), await filesIn(work, 'node_modules'));
    return { name, of: 'npm packages', version: `${wanted.length} packages` };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
};
