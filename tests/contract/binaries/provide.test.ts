import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { archivePath } from '../../../lib/binaries/cache.ts';
import type { Progress } from '../../../lib/binaries/progress.ts';
import { arrival, type ProvideOptions, provide } from '../../../lib/binaries/provide.ts';
import { imageDigests, imageReference, versions } from '../../../lib/binaries/versions.ts';
import { tryRun } from '../../../lib/host/run.ts';
import { needsRoot, scratchFolder } from '../../fixtures.ts';
import { publishImage, type Site, startSite, status, sumOf, whole } from './server.ts';

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
  Object.assign(digests, published);
  vi.unstubAllEnvs();
  await site.close();
});

const get = (options: Partial<ProvideOptions>) =>
  provide({ source: 'auto', binaries: [], images: [], arch: 'amd64', cache, report: (p) => told.push(p), ...options });

const digests = imageDigests() as Record<string, string>;
const published = { ...digests };

/** Serves an image whose digest is the pinned one for the time of a test. */
const publishPinned = (reference: string): void => {
  const digest = publishImage(site, reference);
  if (reference in digests) digests[reference] = digest;
};

const publish = (name: string) => {
  site.answers.set(`${release}/${name}`, [whole(data)]);
  site.answers.set(`${release}/${name}.sha256`, [whole(Buffer.from(sumOf(data)))]);
};

describe('a cache that cannot be written to', () => {
  const script = `import('${join(import.meta.dirname, '../../../lib/binaries/provide.ts')}').then(({ provide }) =>
    provide({ source: 'release', binaries: ['kube-apiserver'], images: [], arch: 'amd64', cache: process.argv[1], report() {} })
  ).catch((error) => console.log(error.name + ': ' + error.message))`;

  test.for([
    ['is on a full disk', 'size=64k', /^UserError: no space left on the disk/],
    ['is on a read-only disk', 'ro', /^UserError: \S+\/hardway-test-\w+ is on a file system that is mounted read-only/],
  ] as const)('%s: nothing is asked for, and that is said', async ([, how, words], context) => {
    needsRoot(context);
    const mounted = `mount -t tmpfs -o mode=755,${how} none "$1"; exec ${process.execPath} -e "$2" "$1"`;
    const argv = ['--mount', 'sh', '-euc', mounted, 'sh', cache, script];
    const { stdout, stderr } = await tryRun('unshare', argv, { env: { HARDWAY_MIRROR: site.url } });
    expect(stdout, stderr).toMatch(words);
    expect(site.asked).toEqual([]);
  });
});

describe('source release', () => {
  test('fetches into the cache, remembers the published checksum, and asks for nothing the second time', async () => {
    publish('kube-apiserver');
    const first = await get({ source: 'release', binaries: ['kube-apiserver'] });
    expect(first.source).toBe('release');
    const path = (await first.binaries.get('kube-apiserver')) ?? '';
    expect((await readFile(path)).equals(data)).toBe(true);

    site.asked.length = 0;
    expect((await get({ source: 'release', binaries: ['kube-apiserver'] })).source).toBe('cache');
    expect((await get({ source: 'auto', binaries: ['kube-apiserver'] })).source).toBe('cache');
    expect(site.asked).toEqual([]);
    expect(told.at(-1)).toEqual({ kind: 'programs', name: 'kube-apiserver', state: 'cached' });

    await writeFile(path, 'corrupted');
    await arrival((await get({ source: 'release', binaries: ['kube-apiserver'] })).binaries);
    expect((await readFile(path)).equals(data)).toBe(true);
    expect(site.asked).toEqual([`GET ${release}/kube-apiserver`]);
  });

  test('refuses a file that is not the one whose checksum is pinned, and caches nothing', async () => {
    publish('kubelet');
    const { binaries } = await get({ source: 'release', binaries: ['kubelet'] });
    await expect(arrival(binaries)).rejects.toThrow('46707a53209f826a');
    await expect(access(join(cache, 'bin'))).rejects.toThrow('ENOENT');
  });

  test('brings images as archives, asked for by their digests, and asks for nothing the second time', async () => {
    publish('kube-proxy');
    const references = [imageReference('pause'), ...versions().calico.images, imageReference('traefik')];
    for (const reference of references) publishPinned(reference);
    const wanted = { binaries: ['kube-proxy'], images: references, registryMirror: site.url };
    const first = await get({ source: 'release', ...wanted });
    expect([...first.images.keys()]).toEqual(references);
    const paths = await arrival(first.images);
    for (const path of paths.values()) await access(path);
    expect(told).toContainEqual(
      expect.objectContaining({ kind: 'images', name: imageReference('pause'), state: 'done' }),
    );
    const [tagged, pinned] = [imageReference('traefik'), imageReference('pause')].map((reference) =>
      site.asked.find((line) => line.includes(`/manifests/`) && line.endsWith(`?ns=${reference.split('/')[0]}`)),
    );
    expect(tagged).toContain('/manifests/v3.6.7');
    expect(pinned).toContain('/manifests/sha256:');
    await arrival(first.binaries);
    await vi.waitFor(async () =>
      expect(await readdir(join(cache, 'downloads'))).toEqual([expect.stringContaining('kube-proxy.sha256')]),
    );

    site.asked.length = 0;
    for (const source of ['auto', 'release'] as const) {
      const again = await get({ source, ...wanted });
      expect([again.source, await arrival(again.images)]).toEqual(['cache', paths]);
    }
    expect(site.asked).toEqual([]);
  });

  test('takes an archive that a person put into the cache, of Calico too', async () => {
    for (const reference of [imageReference('coredns'), ...versions().calico.images]) {
      const path = archivePath(cache, 'amd64', reference);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, '');
      const { images, source } = await get({ source: 'release', images: [reference] });
      expect([source, await arrival(images)]).toEqual(['cache', new Map([[reference, path]])]);
    }
  });

  test('tells each file as it comes, and one that cannot be had ends the others with its reason', async () => {
    publish('kube-proxy');
    site.answers.set(`${release}/kube-scheduler.sha256`, [status(404)]);
    const { binaries } = await get({ source: 'release', binaries: ['kube-proxy', 'kube-scheduler'] });
    await expect(binaries.get('kube-scheduler')).rejects.toThrow('answered 404');
    await expect(arrival(binaries)).rejects.toThrow('kube-scheduler.sha256 cannot be fetched');
  });
});

describe('source auto', () => {
  test('takes the release where its site answers', async () => {
    publish('kube-scheduler');
    const { source, binaries } = await get({ binaries: ['kube-scheduler'] });
    expect(source).toBe('release');
    await arrival(binaries);
  });

  test('without a toolchain is the release, with its reason and its retries', async (context) => {
    needsRoot(context);
    // In a mount namespace of its own, where nothing is in the places that Go is looked for.
    const module = join(import.meta.dirname, '../../../lib/binaries/provide.ts');
    const script = `
      import { arrival, provide } from ${JSON.stringify(module)};
      const asked = { source: 'auto', binaries: ['kube-apiserver', 'kubelet'], images: [], arch: 'amd64', cache: ${JSON.stringify(cache)}, report() {} };
      await provide(asked).then(({ binaries }) => arrival(binaries))
        .catch(({ name, message, next }) => console.log(JSON.stringify({ name, message, next })));`;
    const hide = 'mkdir -p /usr/local/go && mount -t tmpfs none /usr/local/go && exec "$0" --input-type=module -e "$1"';
    const { stdout } = await promisify(execFile)('unshare', ['-m', 'sh', '-c', hide, process.execPath, script], {
      env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', HOME: '/nowhere', HARDWAY_MIRROR: site.url },
    });
    const error = JSON.parse(stdout);
    expect(error.name).toBe('UserError');
    expect(error.message).toContain('kube-apiserver.sha256 cannot be fetched: the server answered 404');
  });
});

describe('source dir', () => {
  test('uses the files where they are, and archives under the names of their images; it fetches the other images', async () => {
    await copyFile('/bin/true', join(cache, 'kubelet'));
    await writeFile(join(cache, 'registry.k8s.io_pause_3.10.2.tar'), '');
    const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
    const images = [imageReference('pause'), imageReference('coredns')];
    for (const reference of images) publishPinned(reference);
    const provided = await get({
      source: 'dir',
      from: cache,
      binaries: ['kubelet'],
      images,
      arch,
      registryMirror: site.url,
    });
    expect(await arrival(provided.binaries)).toEqual(new Map([['kubelet', join(cache, 'kubelet')]]));
    expect(await provided.images.get(images[0] ?? '')).toBe(join(cache, 'registry.k8s.io_pause_3.10.2.tar'));
    await access((await provided.images.get(images[1] ?? '')) ?? '');
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
