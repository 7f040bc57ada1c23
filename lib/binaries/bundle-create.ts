import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress, constants as zlib } from 'node:zlib';
import type { Arch, Cni } from '../engine/lab.ts';
import type { Needs } from '../engine/step.ts';
import { sha256OfFile } from '../host/files.ts';
import { type Contents, contentsName, type Part, sumsName } from './bundle.ts';
import { archiveName, onDisk, publishedImage, readRecord } from './cache.ts';
import { calicoManifest, manifestName } from './calico.ts';
import { labImages } from './needed.ts';
import type { Progress } from './progress.ts';
import { arrival, provide } from './provide.ts';
import { createQueue } from './queue.ts';
import { packNode, packPackages } from './runtime.ts';
import { productOf, usualKubernetes, versions } from './versions.ts';

export interface CreateOptions {
  readonly project: string;
  readonly needs: Pick<Needs, 'programs' | 'plugins' | 'images'>;
  readonly cni: Cni;
  readonly with: readonly string[];
  readonly arch: Arch;
  readonly cache: string;
  readonly report: (progress: Progress) => void;
  readonly signal: AbortSignal;
}

/** A file of the cache that becomes a part. */
interface Source extends Pick<Part, 'kind' | 'of' | 'version' | 'name' | 'origin' | 'recipe'> {
  readonly path: string;
}

/** Brings everything that the lab needs into the cache, and lists it in the order of the bundle. */
const gather = async ({ needs, cni, arch, cache, report, signal }: CreateOptions): Promise<readonly Source[]> => {
  const references = labImages({ cni }, needs);
  const names = [...needs.programs, ...needs.plugins];
  const { binaries, images } = await provide({
    source: 'auto',
    binaries: names,
    images: references,
    arch,
    cache,
    report,
    signal,
  });
  const [programs, archives] = await Promise.all([arrival(binaries), arrival(images)]);
  const made = async (path: string, kind: Part['kind'], of: string, version: string, name: string): Promise<Source> => {
    const { origin, recipe } = (await readRecord(path)) ?? { origin: 'hand' as const, recipe: publishedImage(of) };
    return { kind, of, version, name, origin, recipe, path };
  };
  const sources = await Promise.all([
    ...[...programs].map(([of, path]) =>
      made(path, 'programs', of, productOf(of).product.version, `programs/${of}.zst`),
    ),
    ...[...archives].map(([of, path]) =>
      made(path, 'images', of, of.slice(of.lastIndexOf(':') + 1), `images/${archiveName(of)}.zst`),
    ),
  ]);
  const sorted = sources.toSorted((one, other) => (one.name < other.name ? -1 : 1));
  if (cni !== 'calico') return sorted;
  await calicoManifest(cache, { kind: 'auto' }, { report: (one) => report({ ...one, kind: 'manifests' }), signal });
  const of = manifestName();
  const { version } = versions().calico;
  return [
    ...sorted,
    { kind: 'manifests', of, version, name: `manifests/${of}.zst`, path: join(cache, 'manifests', of) },
  ];
};

/** Compresses a file into the folder, and measures both. The checksum at the end of zstd's frame is on. */
const compress = async ({ path, ...source }: Source, folder: string, signal: AbortSignal): Promise<Part> => {
  const output = join(folder, source.name);
  await mkdir(dirname(output), { recursive: true });
  const { size } = await stat(path);
  const hash = createHash('sha256');
  const measured = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
  };
  const zstd = createZstdCompress({
    params: { [zlib.ZSTD_c_compressionLevel]: 3, [zlib.ZSTD_c_checksumFlag]: 1 },
    pledgedSrcSize: size,
  });
  await onDisk(`packing ${source.of}`, output, () =>
    pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), measured, zstd, createWriteStream(output), { signal }),
  );
  return { ...source, ...(await measure(output)), content: { size, sha256: hash.digest('hex') } };
};

const measure = async (path: string): Promise<Pick<Part, 'size' | 'sha256'>> => ({
  size: (await stat(path)).size,
  sha256: await sha256OfFile(path),
});

/** Makes every part in the folder. */
const makeParts = async (folder: string, options: CreateOptions): Promise<readonly Part[]> => {
  const { project, report, signal } = options;
  const sources = await gather(options);
  const tell = { ...options, report: (one: Omit<Progress, 'kind'>) => report({ ...one, kind: 'programs' }) };
  const packed = [await packNode(project, folder, tell), await packPackages(project, folder)];
  const runtime = packed.map(async (one) => ({
    ...one,
    kind: 'runtime' as const,
    ...(await measure(join(folder, one.name))),
  }));
  const queue = createQueue(2);
  const parts = await Promise.all(
    sources.map((source) =>
      queue(async () => {
        report({ kind: source.kind === 'runtime' ? 'programs' : source.kind, name: source.of, state: 'packing' });
        return compress(source, folder, signal);
      }),
    ),
  );
  return [...(await Promise.all(runtime)), ...parts];
};

/**
 * Writes a bundle: a plain tar with its list of checksums first, what a shell needs next, and the files of the lab as
 * zstd. The same input gives the same bytes. What is there of that name is replaced when the new one is whole. Throws
 * UserError as `provide` does, and for a disk that is full.
 */
export const createBundle = async (file: string, options: CreateOptions): Promise<void> => {
  const output = resolve(file);
  const { create } = await import('tar');
  await onDisk('making the bundle', output, async () => {
    const folder = await mkdtemp(`${output}.part-`);
    try {
      const parts = await makeParts(folder, options);
      const { arch, cni, with: extras } = options;
      const contents: Contents = {
        format: 1,
        arch,
        kubernetes: usualKubernetes(),
        cni,
        with: [...extras],
        parts: [...parts],
      };
      const description = join(folder, contentsName);
      await writeFile(description, `${JSON.stringify(contents, undefined, 1)}\n`);
      const listed = [{ name: contentsName, ...(await measure(description)) }, ...parts];
      await writeFile(join(folder, sumsName), listed.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join(''));
      const names = [sumsName, ...listed.map(({ name }) => name)];
      for (const name of names) await chmod(join(folder, name), 0o644);
      const whole = join(folder, basename(output));
      await create({ cwd: folder, file: whole, portable: true, noPax: true, mtime: new Date(0) }, names);
      options.signal.throwIfAborted();
      await chmod(whole, 0o644);
      await rename(whole, output);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
};
