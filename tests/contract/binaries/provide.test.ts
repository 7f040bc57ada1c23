import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { archivePath } from '../../../lib/binaries/cache.ts';
import { calicoArchives, fetchCalico } from '../../../lib/binaries/calico.ts';
import type { Progress } from '../../../lib/binaries/progress.ts';
import { type ProvideOptions, provide } from '../../../lib/binaries/provide.ts';
import { imageReference, versions } from '../../../lib/binaries/versions.ts';
import { readIfThere } from '../../../lib/host/files.ts';
import { paths } from '../../../lib/host/paths.ts';
import { needsRoot, scratchFolder } from '../../fixtures.ts';
import { publishImage, type Site, startSite, sumOf, whole } from './server.ts';

const data = randomBytes(100_000);
const release = '/dl.k8s.io/release/v1.36.3/bin/linux/amd64';

let site: Site;
let cache: string;
let told: Progress[];

beforeEach(async () => {
  site = await startSite();
  vi.stubEnv('HARDWAY_MIRROR', site.url);
  const scratch = await scratchFolder();
  cache = scratch.path;
  told = [];
  return scratch.remove;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await site.close();
});

const get = (options: Partial<ProvideOptions>) =>
  provide({ source: 'auto', binaries: [], images: [], arch: 'amd64', cache, report: (p) => told.push(p), ...options });

const publish = (name: string) => {
  site.answers.set(`${release}/${name}`, [whole(data)]);
  site.answers.set(`${release}/${name}.sha256`, [whole(Buffer.from(sumOf(data)))]);
};

describe('source release', () => {
  test('fetches into the cache, remembers the published checksum, and asks for nothing the second time', async () => {
    publish('kube-apiserver');
    const first = await get({ source: 'release', binaries: ['kube-apiserver'] });
    expect(first.source).toBe('release');
    const path = first.binaries.get('kube-apiserver') ?? '';
    expect((await readFile(path)).equals(data)).toBe(true);

    site.asked.length = 0;
    expect((await get({ source: 'release', binaries: ['kube-apiserver'] })).source).toBe('cache');
    expect((await get({ source: 'auto', binaries: ['kube-apiserver'] })).source).toBe('cache');
    expect(site.asked).toEqual([]);
    expect(told.at(-1)).toEqual({ name: 'kube-apiserver', state: 'cached' });

    await writeFile(path, 'corrupted');
    await get({ source: 'release', binaries: ['kube-apiserver'] });
    expect((await readFile(path)).equals(data)).toBe(true);
    expect(site.asked).toEqual([`GET ${release}/kube-apiserver`]);
  });

  test('refuses a file that is not the one whose checksum is pinned, and caches nothing', async () => {
    publish('kubelet');
    await expect(get({ source: 'release', binaries: ['kubelet'] })).rejects.toThrow('46707a53209f826a');
    await expect(access(join(cache, 'bin'))).rejects.toThrow('ENOENT');
  });

  test('leaves images to be pulled', async () => {
    const { images } = await get({ source: 'release', images: [imageReference('pause')] });
    expect(images.size).toBe(0);
  });

  test('brings images as archives for a machine without a network, and asks for nothing the second time', async () => {
    publish('kube-proxy');
    const references = [imageReference('pause'), imageReference('traefik')];
    for (const reference of references) publishImage(site, reference);
    const wanted = { binaries: ['kube-proxy'], images: references, archives: true, registryMirror: site.url };
    const first = await get({ source: 'release', ...wanted });
    expect([...first.images.keys()]).toEqual(references);
    for (const path of first.images.values()) await access(path);
    expect(told).toContainEqual(expect.objectContaining({ name: imageReference('pause'), state: 'downloading' }));

    site.asked.length = 0;
    for (const source of ['auto', 'release'] as const) {
      const again = await get({ source, ...wanted });
      expect([again.source, [...again.images]]).toEqual(['cache', [...first.images]]);
    }
    expect(site.asked).toEqual([]);
  });

  test('takes an archive that a person put into the cache', async () => {
    publish('kube-proxy');
    const path = archivePath(cache, 'amd64', imageReference('coredns'));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, '');
    const { images } = await get({ source: 'release', binaries: ['kube-proxy'], images: [imageReference('coredns')] });
    expect([...images]).toEqual([[imageReference('coredns'), path]]);
  });

  test('brings those images of Calico that are not there, after its manifest', async ({ skip }) => {
    const { version, images } = versions().calico;
    const name = `calico-${version}.yaml`;
    const manifest = await readIfThere(join(paths.cache, 'manifests', name));
    skip(
      manifest === undefined,
      `Calico's manifest is not in ${paths.cache}/manifests; where its site answers: hardway vm up -- --cni calico`,
    );
    await mkdir(join(cache, 'manifests'));
    await writeFile(join(cache, 'manifests', name), manifest ?? '');
    const [first = '', ...others] = images;
    const path = archivePath(cache, 'amd64', first);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, 'put here by hand');
    for (const image of others) publishImage(site, image);

    const where = { cache, arch: 'amd64', source: { kind: 'release' } } as const;
    await fetchCalico(where, { report: () => {}, registryMirror: site.url });
    expect([...(await calicoArchives(where)).keys()]).toEqual(images);
    expect(await readFile(path, 'utf8')).toBe('put here by hand');
  });
});

describe('source auto', () => {
  test('takes the release where its site answers', async () => {
    publish('kube-scheduler');
    expect((await get({ binaries: ['kube-scheduler'], images: [imageReference('pause')] })).source).toBe('release');
    expect(site.asked[0]).toBe(`HEAD ${release}/kube-scheduler`);
  });

  test('without site and toolchain tells both and what to do', async (context) => {
    needsRoot(context);
    // In a mount namespace of its own, where nothing is in the places that Go is looked for.
    const module = join(import.meta.dirname, '../../../lib/binaries/provide.ts');
    const script = `
      import { provide } from ${JSON.stringify(module)};
      await provide({ source: 'auto', binaries: ['kubelet'], images: [], arch: 'amd64', cache: ${JSON.stringify(cache)}, report() {} })
        .catch(({ name, message, next }) => console.log(JSON.stringify({ name, message, next })));`;
    const hide = 'mkdir -p /usr/local/go && mount -t tmpfs none /usr/local/go && exec "$0" --input-type=module -e "$1"';
    const { stdout } = await promisify(execFile)('unshare', ['-m', 'sh', '-c', hide, process.execPath, script], {
      env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', HOME: '/nowhere', HARDWAY_MIRROR: 'http://127.0.0.1:1' },
    });
    const error = JSON.parse(stdout);
    expect(error.name).toBe('UserError');
    expect(error.message).toMatch(/dl\.k8s\.io did not answer .* no Go toolchain to build kubelet/);
    expect(error.next).toContain('--source dir');
  });
});

describe('source dir', () => {
  test('uses the files where they are, and an archive under the name of its image', async () => {
    await copyFile('/bin/true', join(cache, 'kubelet'));
    await writeFile(join(cache, 'registry.k8s.io_pause_3.10.2.tar'), '');
    const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
    const images = [imageReference('pause'), imageReference('coredns')];
    const provided = await get({ source: 'dir', from: cache, binaries: ['kubelet'], images, arch });
    expect(provided.binaries.get('kubelet')).toBe(join(cache, 'kubelet'));
    expect([...provided.images.keys()]).toEqual([imageReference('pause')]);
  });

  test('names every file that is missing or not a program for this machine', async () => {
    await writeFile(join(cache, 'kubectl'), '#!/bin/sh\n');
    const wrong = get({ source: 'dir', from: cache, binaries: ['kubelet', 'kubectl'] });
    await expect(wrong).rejects.toThrow(/kubelet is not there, kubectl is not a Linux amd64 program/);
  });

  test('asks for the folder', async () => {
    await expect(get({ source: 'dir' })).rejects.toThrow('needs the folder');
  });
});
