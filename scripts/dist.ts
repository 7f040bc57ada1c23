import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { create, extract } from 'tar';
import { packNode, packPackages } from '../lib/binaries/runtime.ts';
import { architectures } from '../lib/engine/lab.ts';
import { readBytes, readText } from '../lib/host/files.ts';
import { paths } from '../lib/host/paths.ts';
import { run } from '../lib/host/run.ts';
import packageJson from '../package.json' with { type: 'json' };

const project = resolve(import.meta.dirname, '..');

/** What of the project a person needs to use it; the rest is for who works on it. */
const product =
  /^(bin|exercises|lib|steps|lessons|manifests|certs-templates|docs)\/|^(package(-lock)?\.json|[A-Z]+(\.md)?)$/;

/** Copies the product's own files into a folder: those that git knows. */
const copyProduct = async (into: string): Promise<void> => {
  const { stdout } = await run('git', ['ls-files'], { cwd: project });
  for (const file of stdout.split('\n').filter((one) => product.test(one))) {
    await mkdir(dirname(join(into, file)), { recursive: true });
    await copyFile(join(project, file), join(into, file));
  }
};

/** Lists the files of a folder, sorted, so that the same files give the same bytes. */
const sortedFiles = async (folder: string): Promise<readonly string[]> => {
  const { stdout } = await run('find', ['.', '-type', 'f'], { cwd: folder });
  return stdout.trim().split('\n').toSorted();
};

/** Packs the product, Node and the npm packages into one tar. Returns its path. */
const packPayload = async (work: string): Promise<string> => {
  const arch = architectures[process.arch];
  if (!arch) throw new Error(`hardway runs on ${Object.keys(architectures).join(' and ')}, not on ${process.arch}`);
  const tree = join(work, 'tree');
  await mkdir(join(tree, 'node/node_modules'), { recursive: true });
  await copyProduct(tree);
  const options = { arch, cache: paths.cache, report: () => {} };
  const [node, packages] = [await packNode(project, work, options), await packPackages(project, work)];
  await extract({ file: join(work, node.name), cwd: join(tree, 'node/node_modules') });
  await extract({ file: join(work, packages.name), cwd: tree });
  const payload = join(work, 'payload.tar.gz');
  const entries = await sortedFiles(tree);
  await create({ cwd: tree, file: payload, portable: true, mtime: new Date(0), gzip: { level: 9 } }, [...entries]);
  return payload;
};

/** Writes the self-extracting file: the shell's part with the checksum of what comes after it. */
const writeFileOf = async (payload: string, output: string): Promise<void> => {
  const bytes = await readBytes(payload, 500 << 20);
  const arch = architectures[process.arch] ?? '';
  const sum = createHash('sha256').update(bytes).digest('hex');
  const script = (await readText(join(project, 'scripts/self-extract.sh')))
    .replaceAll('@VERSION@', packageJson.version)
    .replaceAll('@ARCH@', arch)
    .replaceAll('@SHA256@', sum)
    .replaceAll('@SIZE@', String(bytes.length));
  await writeFile(`${output}.part`, Buffer.concat([Buffer.from(script), bytes]), { mode: 0o755 });
  await rename(`${output}.part`, output);
};

/** Returns a source as JavaScript: Node does not strip types in packages that npm has installed. */
const asJavaScript = (source: string): string =>
  stripTypeScriptTypes(source).replaceAll(/((?:from|import)\s*\(?\s*['"][^'"\n]+)\.ts(['"])/g, '$1.js$2');

/** Makes the folder that npm packs: the product as JavaScript, with the packages that it runs with. */
const makePackage = async (work: string): Promise<string> => {
  const folder = join(work, 'package');
  await copyProduct(folder);
  for (const file of (await sortedFiles(folder)).filter((one) => one.endsWith('.ts'))) {
    const path = join(folder, file);
    await writeFile(path.replace(/\.ts$/, '.js'), asJavaScript(await readText(path)));
    await rm(path);
  }
  await rm(join(folder, 'package-lock.json')); // npm has installed the packages, and the launcher brings none
  const { private: _, scripts: __, devDependencies: ___, ...about } = packageJson;
  const bundled = { ...about, bundleDependencies: Object.keys(about.dependencies) };
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(bundled, undefined, 2)}\n`);
  const packages = await packPackages(project, work);
  await extract({ file: join(work, packages.name), cwd: folder });
  return folder;
};

const work = await mkdtemp(join(tmpdir(), 'hardway-dist-'));
try {
  const folder = resolve(process.argv[2] ?? join(project, 'dist'));
  await mkdir(folder, { recursive: true });
  const output = join(folder, `hardway-${packageJson.version}-linux-${architectures[process.arch]}`);
  await writeFileOf(await packPayload(work), output);
  console.log(output);
  await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], {
    cwd: await makePackage(work),
    env: { NODE_DISABLE_COMPILE_CACHE: '1' }, // npm would leave one in the folder of temporary files
    timeout: 300_000,
  });
  console.log(join(folder, `${packageJson.name}-${packageJson.version}.tgz`));
} finally {
  await rm(work, { recursive: true, force: true });
}
