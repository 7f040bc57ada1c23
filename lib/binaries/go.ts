import { mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { Bug, reasonOf, UserError } from '../engine/errors.ts';
import { type Arch, architectures } from '../engine/lab.ts';
import { hasApt, installPackages, type Perform } from '../host/apt.ts';
import { sha256 } from '../host/files.ts';
import { CommandFailed, findCommand, run, runShown, tryRun } from '../host/run.ts';
import { onDisk } from './cache.ts';
import type { FileProgress } from './progress.ts';
import { expand, type Product } from './versions.ts';

export interface GoBuild {
  readonly go: string;
  readonly arch: Arch;
  readonly cache: string;
  readonly report: (progress: FileProgress) => void;
  readonly signal: AbortSignal | undefined;
  readonly perform?: Perform | undefined;
}

/** Returns the go.mod of a module that exists only to build a product's packages at its version. */
export const goMod = (product: Product): string =>
  [
    'module hardway.local/build',
    '',
    'go 1.26',
    '',
    ...(product.modules ?? []).map((module) => `require ${module} ${product.version}`),
    ...(product.replace ?? []).map((replace) => `replace ${replace}`),
    '',
  ].join('\n');

/**
 * Returns the arguments of `go` that build one binary of a product. They keep paths and dates out of it, so that it is
 * the same everywhere.
 */
export const goArguments = (product: Product, binary: string, arch: Arch, output: string): string[] => {
  const main = product.packages[binary];
  if (main === undefined) throw new Bug(`versions.yaml has no package for ${binary}`);
  const variables = Object.entries(product.variables ?? {}).map(
    ([name, value]) => `-X ${name}=${expand(value, product.version, arch)}`,
  );
  const ldflags = ['-s -w', ...variables, ...(product.cgo ? ['-linkmode external -extldflags -static'] : [])];
  const tags = [...(product.tags ?? []), ...(product.packageTags?.[binary] ?? [])];
  return [
    'build',
    '-trimpath',
    '-buildvcs=false',
    ...(tags.length > 0 ? [`-tags=${tags.join(',')}`] : []),
    `-ldflags=${ldflags.join(' ')}`,
    '-o',
    output,
    main.startsWith('./') ? resolve(import.meta.dirname, main) : main,
  ];
};

const debianPackages = ['gcc', 'libc6-dev', 'pkg-config', 'libseccomp-dev'];

const isInstalled = async (name: string): Promise<boolean> =>
  (await tryRun('dpkg', ['--status', name])).stdout.includes('Status: install ok installed');

/**
 * Installs the C compiler and the libraries where they are missing, as root on Debian and Ubuntu. They stay after a
 * reset: something else may use them by then. Throws a UserError when they cannot be installed.
 */
const needC = async (libraries: readonly string[], { arch, report, signal, perform }: GoBuild): Promise<void> => {
  if (arch !== architectures[process.arch]) {
    throw new UserError(
      `runc is partly C and cannot be built for ${arch} on this machine`,
      'use --source release for it, or build on a machine of that kind',
    );
  }
  const present = async () =>
    (await findCommand('gcc')) !== undefined && (await tryRun('pkg-config', ['--exists', ...libraries])).code === 0;
  if (await present()) return;
  const there = await Promise.all(debianPackages.map(isInstalled));
  const packages = debianPackages.filter((_, index) => !there[index]);
  let words = '';
  if (process.getuid?.() === 0 && (await hasApt())) {
    report({ name: packages.join(' '), state: 'installing' });
    const withoutUndo: Perform = perform ?? ((argv) => runShown(argv, { signal }));
    try {
      await installPackages(packages, (argv) => withoutUndo(argv));
    } catch (thrown) {
      if (!(thrown instanceof CommandFailed)) throw thrown;
      words = `: ${thrown.words}`;
    }
    if (await present()) return;
  }
  throw new UserError(
    `building runc needs a C compiler and ${libraries.join(', ')}, which this machine lacks${words}`,
    `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`,
  );
};

/**
 * Makes the folder of a product's generated module and returns it. Go completes its go.mod and go.sum there, so that
 * later builds have nothing to look up.
 */
const moduleFolder = async (cache: string, name: string, product: Product): Promise<string> => {
  const text = goMod(product);
  const recipe = sha256(text).slice(0, 8);
  const folder = join(cache, 'build', `${name}-${product.version}-${recipe}`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'go.mod'), text, { flag: 'wx' }).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'EEXIST') throw thrown;
  });
  return folder;
};

/**
 * Builds one binary of a product into `output`. It uses Go's own module and build caches, so a second build takes
 * seconds. Throws a UserError with the end of Go's output when the build fails.
 */
export const goBuild = async (
  name: string,
  product: Product,
  binary: string,
  output: string,
  options: GoBuild,
): Promise<void> => {
  const { go, arch, cache, signal } = options;
  if (product.cgo) await needC(product.cgo, options);
  const folder = await moduleFolder(cache, name, product);
  try {
    await onDisk(`building ${binary}`, output, () =>
      run(go, goArguments(product, binary, arch, output), {
        cwd: folder,
        // Go may complete the go.mod, which is generated. A workspace or flags of the user must not interfere.
        env: {
          GOWORK: 'off',
          GOFLAGS: '-mod=mod',
          GOOS: 'linux',
          GOARCH: arch,
          CGO_ENABLED: product.cgo ? '1' : '0',
          HOME: homedir(),
        },
        timeout: 2 * 3_600_000, // a first build of Kubernetes fetches its modules as well
        signal,
      }),
    );
  } catch (thrown) {
    await rm(output, { force: true });
    if (signal?.aborted || thrown instanceof UserError) throw thrown;
    const words = thrown instanceof CommandFailed ? thrown.words : reasonOf(thrown);
    throw new UserError(
      `${basename(go)} could not build ${binary} ${product.version}: ${words}`,
      'if the module proxy cannot be reached, set GOPROXY or HTTPS_PROXY, or use --source release',
    );
  }
};
