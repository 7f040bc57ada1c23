import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extract, list } from 'tar';
import { beforeAll, expect, test } from 'vitest';
import { provide } from '../../../lib/binaries/provide.ts';
import { imageReference } from '../../../lib/binaries/versions.ts';
import { scratchFolder } from '../../fixtures.ts';

const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
const reference = imageReference('pause');
let folder: string;
let archive: string;

const build = async (cache: string): Promise<string> => {
  const { images } = await provide({
    source: 'go',
    binaries: [],
    images: [reference],
    arch,
    cache,
    report: () => undefined,
  });
  return (await images.get(reference)) ?? '';
};

beforeAll(async () => {
  const scratch = await scratchFolder();
  folder = scratch.path;
  archive = await build(join(folder, 'cache'));
  await extract({ file: archive, cwd: folder });
  return scratch.remove;
});

const json = async (path: string) => JSON.parse(await readFile(join(folder, path), 'utf8'));
const blob = (digest: string) => `blobs/sha256/${digest.replace('sha256:', '')}`;

test('the archive is an OCI layout that names its image as containerd reads it', async () => {
  const names: string[] = [];
  await list({ file: archive, onReadEntry: ({ path }) => names.push(path) });
  expect(names.slice(0, 2)).toEqual(['oci-layout', 'index.json']);
  expect(names).toHaveLength(5);
  const { manifests } = await json('index.json');
  expect(manifests[0].annotations['io.containerd.image.name']).toBe(reference);
  expect(manifests[0].platform).toEqual({ architecture: arch, os: 'linux' });
});

test('every digest and size in it is true, the layer is not compressed and holds /pause alone', async () => {
  const { manifests } = await json('index.json');
  const manifest = await json(blob(manifests[0].digest));
  const layer = manifest.layers[0];
  for (const { digest, size } of [manifests[0], manifest.config, layer]) {
    const data = await readFile(join(folder, blob(digest)));
    expect(data.length).toBe(size);
    expect(`sha256:${createHash('sha256').update(data).digest('hex')}`).toBe(digest);
  }
  const config = await json(blob(manifest.config.digest));
  expect(config.rootfs.diff_ids).toEqual([layer.digest]);
  expect(config.config.Entrypoint).toEqual(['/pause']);
  const entries: unknown[] = [];
  await list({
    file: join(folder, blob(layer.digest)),
    onReadEntry: ({ path, mode, uid }) => entries.push({ path, mode: (mode ?? 0) & 0o777, root: !uid }),
  });
  expect(entries).toEqual([{ path: 'pause', mode: 0o755, root: true }]);
});

test('pause is small, waits, and ends when it is told to', async () => {
  const { manifests } = await json('index.json');
  const { layers } = await json(blob(manifests[0].digest));
  expect(layers[0].size).toBeLessThan(2_000_000);
  await extract({ file: join(folder, blob(layers[0].digest)), cwd: folder });
  const pause = spawn(join(folder, 'pause'));
  await once(pause, 'spawn');
  // The runtime's handlers are up when it blocks SIGTERM's default: ask the kernel, not the clock.
  const caught = async () =>
    BigInt(`0x${/SigCgt:\s*(\w+)/.exec(await readFile(`/proc/${pause.pid}/status`, 'utf8'))?.[1] ?? '0'}`);
  while (((await caught()) & (1n << 14n)) === 0n);
  expect(pause.exitCode).toBeNull();
  pause.kill('SIGTERM');
  await once(pause, 'exit');
  expect(pause.signalCode ?? pause.exitCode).toSatisfy((end) => end === 0 || end === 'SIGTERM');
});

test('the same sources give the same archive, byte for byte', async () => {
  const again = await build(join(folder, 'other'));
  expect((await readFile(again)).equals(await readFile(archive))).toBe(true);
});
