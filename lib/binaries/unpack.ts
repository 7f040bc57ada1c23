import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { UserError } from '../engine/errors.ts';
import { onDisk } from './cache.ts';

const plain = (path: string): string => path.replace(/^\.\//, '');

/**
 * Extracts some members of a tarball. `members` maps the path in the tarball to the path of the new file. Throws a
 * UserError when one is missing or not a regular file, or the disk is full.
 */
export const unpack = async (tarball: string, members: ReadonlyMap<string, string>): Promise<void> => {
  const { extract } = await import('tar');
  const folder = `${tarball}.unpacked`;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  try {
    const seen = new Set<string>();
    await onDisk(`unpacking ${basename(tarball)}`, join(folder, 'x'), async () => {
      await extract({
        file: tarball,
        cwd: folder,
        strict: true,
        filter: (path, entry) => {
          const wanted = members.has(plain(path)) && 'type' in entry && entry.type === 'File';
          if (wanted) seen.add(plain(path));
          return wanted;
        },
      });
    });
    const lacking = [...members.keys()].filter((member) => !seen.has(member));
    if (lacking.length > 0) {
      throw new UserError(
        `${tarball} does not hold ${lacking.join(', ')}`,
        'rm the file and run the same command again, or use --source go',
      );
    }
    for (const [member, path] of members) await rename(join(folder, member), path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
