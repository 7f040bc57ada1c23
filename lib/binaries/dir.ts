import { open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { UserError } from '../engine/errors.ts';
import type { Arch } from '../engine/lab.ts';
import { exists } from '../host/files.ts';
import { isProgram } from '../host/run.ts';
import { archiveName } from './cache.ts';

interface FolderOptions {
  readonly from?: string;
  readonly binaries: readonly string[];
  readonly images: readonly string[];
  readonly arch: Arch;
}

/** Files that were found: name or image reference to absolute path. */
interface Found {
  readonly binaries: ReadonlyMap<string, string>;
  readonly images: ReadonlyMap<string, string>;
}

/** Values of e_machine in an ELF header: https://man7.org/linux/man-pages/man5/elf.5.html */
const machines: Readonly<Record<Arch, number>> = { amd64: 62, arm64: 183 };

/** Reads the first `length` bytes of a file, or all of a shorter one. */
const firstBytes = async (path: string, length: number) => {
  const file = await open(path);
  try {
    return await file.read(Buffer.alloc(length), 0, length, 0);
  } finally {
    await file.close();
  }
};

/** Returns why a file cannot be a binary of the lab; undefined when it can. */
const fault = async (path: string, arch: Arch): Promise<string | undefined> => {
  if (!(await exists(path))) return 'is not there';
  const { bytesRead, buffer } = await firstBytes(path, 20);
  const isElf = bytesRead === 20 && buffer.subarray(0, 4).toString('latin1') === '\x7fELF';
  if (!isElf || buffer.readUInt16LE(18) !== machines[arch]) return `is not a Linux ${arch} program`;
  return (await isProgram(path)) ? undefined : 'is not executable (chmod +x)';
};

/**
 * Finds files in a folder and uses them there: binaries under their own names, image archives as
 * `registry.k8s.io_pause_3.10.2.tar`. Throws one UserError that names every binary that is missing or wrong.
 */
export const fromFolder = async ({ from, binaries, images, arch }: FolderOptions): Promise<Found> => {
  if (!from) throw new UserError('--source dir needs the folder that the files are in', '--source dir --from FOLDER');
  const folder = resolve(from);
  const faults = await Promise.all(
    binaries.map(async (name) => ({ name, why: await fault(join(folder, name), arch) })),
  );
  const wrong = faults.filter(({ why }) => why !== undefined).map(({ name, why }) => `${name} ${why}`);
  if (wrong.length > 0)
    throw new UserError(
      `the folder ${folder} cannot be used: ${wrong.join(', ')}`,
      'put the files there, or use --source auto',
    );
  const archives = new Map<string, string>();
  for (const reference of images) {
    const path = join(folder, archiveName(reference));
    if (await exists(path)) archives.set(reference, path);
  }
  return { binaries: new Map(binaries.map((name) => [name, join(folder, name)])), images: archives };
};
