import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, expect, test } from 'vitest';
import { unpack } from '../../../lib/binaries/unpack.ts';
import { needsRoot, scratchFolder } from '../../fixtures.ts';

const run = promisify(execFile);
let folder: string;
let tarball: string;

beforeEach(async () => {
  const scratch = await scratchFolder();
  folder = scratch.path;
  tarball = join(folder, 'etcd.tar.gz');
  const tree = join(folder, 'tree');
  await mkdir(join(tree, 'etcd-v1/docs'), { recursive: true });
  await writeFile(join(tree, 'etcd-v1/etcd'), 'etcd itself');
  await chmod(join(tree, 'etcd-v1/etcd'), 0o755);
  await writeFile(join(tree, 'etcd-v1/docs/README'), 'read me');
  await symlink('/etc/passwd', join(tree, 'etcd-v1/link'));
  await run('tar', ['-czf', tarball, '-C', tree, './etcd-v1']);
  await rm(tree, { recursive: true });
  return scratch.remove;
});

test('only the wanted member is taken out, also where the tarball writes ./ before it', async () => {
  await unpack(tarball, new Map([['etcd-v1/etcd', join(folder, 'out')]]));
  expect(await readFile(join(folder, 'out'), 'utf8')).toBe('etcd itself');
  expect((await readdir(folder)).sort()).toEqual(['etcd.tar.gz', 'out']);
});

test('a member that is not there is named', async () => {
  await expect(unpack(tarball, new Map([['etcd-v1/etcdctl', join(folder, 'out')]]))).rejects.toThrow('etcd-v1/etcdctl');
});

test('a link in place of a member is not followed', async () => {
  await expect(unpack(tarball, new Map([['etcd-v1/link', join(folder, 'out')]]))).rejects.toThrow('etcd-v1/link');
  await expect(stat(join(folder, 'out'))).rejects.toThrow('ENOENT');
});

test('a full disk is told, with the folder and what to do', async (context) => {
  needsRoot(context);
  // A disk of 64 KB in a mount namespace of its own, and 1 MB to unpack there.
  await writeFile(join(folder, 'etcd'), Buffer.alloc(1_000_000));
  await run('tar', ['-czf', tarball, '-C', folder, 'etcd']);
  await mkdir(join(folder, 'small'));
  const module = join(import.meta.dirname, '../../../lib/binaries/unpack.ts');
  const script = `
    import { unpack } from ${JSON.stringify(module)};
    await unpack('small/etcd.tar.gz', new Map([['etcd', 'small/etcd']])).catch(({ name, message, next }) => console.log(JSON.stringify({ name, message, next })));`;
  const { stdout } = await run(
    'unshare',
    [
      '-m',
      'sh',
      '-c',
      'mount -t tmpfs -o size=64k none small && cp etcd.tar.gz small/ && exec "$0" --input-type=module -e "$1"',
      process.execPath,
      script,
    ],
    { cwd: folder },
  );
  const error = JSON.parse(stdout);
  expect(error.name).toBe('UserError');
  expect(error.message).toMatch(/no space left on the disk of .*small.* while unpacking etcd\.tar\.gz/);
  expect(error.next).toContain('HARDWAY_CACHE');
});
