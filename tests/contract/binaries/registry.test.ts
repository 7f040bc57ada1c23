import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extract } from 'tar';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FileProgress } from '../../../lib/binaries/progress.ts';
import { provide } from '../../../lib/binaries/provide.ts';
import { createImageFetcher } from '../../../lib/binaries/registry.ts';
import { imageDigests, imageReference } from '../../../lib/binaries/versions.ts';
import { scratchFolder } from '../../fixtures.ts';
import { type Answer, cut, type Site, startSite, status, whole } from './server.ts';

// pause is built once and its blobs are what the registry serves.
const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
const reference = imageReference('pause');
const limits = { stall: 500, firstRetry: 1, retries: 6 };

interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}
let source: string;
let manifest: Blob;
let config: Blob;
let layer: Blob;
const blobOf = (folder: string, digest: string) =>
  readFile(join(folder, 'blobs/sha256', digest.replace('sha256:', '')));
const digestOf = (data: Buffer) => `sha256:${createHash('sha256').update(data).digest('hex')}`;

beforeAll(async () => {
  const scratch = await scratchFolder();
  source = scratch.path;
  const cache = join(source, 'cache');
  const { images } = await provide({ source: 'go', binaries: [], images: [reference], arch, cache, report: () => {} });
  await extract({ file: (await images.get(reference)) ?? '', cwd: source });
  manifest = JSON.parse(await readFile(join(source, 'index.json'), 'utf8')).manifests[0];
  const inside = JSON.parse((await blobOf(source, manifest.digest)).toString());
  config = inside.config;
  layer = inside.layers[0];
  return scratch.remove;
});

let site: Site;
let folder: string;
let told: FileProgress[];
const asks = (path: string) => `/v2/pause/${path}`;
const json = (value: object, headers: Record<string, string> = {}, code = 200): Answer => {
  return (_request, response) => response.writeHead(code, headers).end(JSON.stringify(value));
};

beforeEach(async () => {
  const scratch = await scratchFolder();
  folder = scratch.path;
  told = [];
  site = await startSite();
  const index = { schemaVersion: 2, manifests: [{ ...manifest, platform: { os: 'windows', architecture: arch } }] };
  const { mediaType, digest, size } = manifest;
  index.manifests.push({ mediaType, digest, size, platform: { os: 'linux', architecture: arch } });
  site.answers.set(asks('manifests/3.10.2'), [json(index)]);
  site.answers.set(asks(`manifests/${digest}`), [whole(await blobOf(source, digest))]);
  for (const blob of [config, layer]) {
    site.answers.set(asks(`blobs/${blob.digest}`), [whole(await blobOf(source, blob.digest))]);
  }
  return scratch.remove;
});
afterEach(async () => {
  await site.close();
});

const nameAt = (url: string) => `${new URL(url).host}/pause:3.10.2`;
const fetcher = (mirror?: string) =>
  createImageFetcher({ arch, cache: folder, mirror, report: (one) => told.push(one), limits });
const fetch = (name = nameAt(site.url), mirror?: string) => fetcher(mirror)(name, join(folder, 'image.tar'));

describe('an image becomes an archive', () => {
  test('that holds the image for this architecture, its name, and every blob as it was published', async () => {
    await fetch();
    await extract({ file: join(folder, 'image.tar'), cwd: folder });
    const { manifests } = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'));
    expect(manifests).toHaveLength(1);
    expect(manifests[0].digest).toBe(manifest.digest);
    expect(manifests[0].annotations['io.containerd.image.name']).toBe(nameAt(site.url));
    for (const { digest } of [manifest, config, layer]) expect(digestOf(await blobOf(folder, digest))).toBe(digest);
    const last = told.filter(({ state }) => state === 'downloading').at(-1);
    expect(last).toMatchObject({ bytes: config.size + layer.size, total: config.size + layer.size });
  });

  test('after a blob that was cut twice, each time going on where it stopped', async () => {
    const path = asks(`blobs/${layer.digest}`);
    const layerData = await blobOf(source, layer.digest);
    const place = join(folder, 'downloads', `${layer.digest.replace(':', '_')}.part`);
    site.answers.set(path, [cut(layerData, place), cut(layerData, place), whole(layerData)]);
    await fetch();
    const ranges = site.asked.filter((line) => line.includes(layer.digest)).map((line) => line.split(' ')[2]);
    expect(ranges).toHaveLength(3);
    expect(ranges[0]).toBeUndefined();
    expect(ranges[1]).toMatch(/^bytes=\d+-$/);
  });

  test('with a token where the registry wants one, which a site that it redirects to does not get', async () => {
    const elsewhere = await startSite();
    const seen: unknown[] = [];
    elsewhere.answers.set('/layer', [
      (request, response) => {
        seen.push(request.headers.authorization);
        whole(layerData)(request, response);
      },
    ]);
    const layerData = await blobOf(source, layer.digest);
    const challenge = {
      'www-authenticate': `Bearer realm="${site.url}/token",service="registry",scope="repository:pause:pull"`,
    };
    site.answers.set('/token?scope=repository%3Apause%3Apull&service=registry', [json({ token: 'let me in' })]);
    for (const [path, answers] of site.answers) {
      const [answer] = answers;
      if (!path.startsWith('/v2') || !answer) continue;
      site.answers.set(path, [
        (request, response) =>
          request.headers.authorization === 'Bearer let me in'
            ? answer(request, response)
            : json({ errors: [{ code: 'UNAUTHORIZED' }] }, challenge, 401)(request, response),
      ]);
    }
    site.answers.set(asks(`blobs/${layer.digest}`), [
      (_request, response) => response.writeHead(307, { location: `${elsewhere.url}/layer` }).end(),
    ]);
    await fetch();
    expect(seen).toEqual([undefined]);
    expect(site.asked.filter((line) => line.includes('/token'))).toHaveLength(1);
    await elsewhere.close();
  });
});

test('two images with a blob in common get it from one download, and one that fails stops no other', async () => {
  const fetchImage = fetcher();
  const [one, other, none] = ['3.10.2', 'again', 'none'].map((tag) => `${new URL(site.url).host}/pause:${tag}`);
  site.answers.set(asks('manifests/again'), site.answers.get(asks('manifests/3.10.2')) ?? []);
  const [, , failed] = await Promise.allSettled(
    [one, other, none].map((name = '', index) => fetchImage(name, join(folder, `${index}.tar`))),
  );
  expect(failed).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('answered 404') } });
  expect(site.asked.filter((line) => line.includes(layer.digest))).toHaveLength(1);
  for (const index of [0, 1])
    expect((await readFile(join(folder, `${index}.tar`))).includes(layer.digest.slice(7))).toBe(true);
  expect(await readdir(join(folder, 'downloads'))).toEqual([]);
});

describe('a mirror', () => {
  const throughMirror = (path: string) => `${asks(path)}?ns=127.0.0.1:1`;

  test('is asked in the place of the registry, and told which one', async () => {
    for (const [path, answers] of [...site.answers]) site.answers.set(`${path}?ns=127.0.0.1:1`, answers);
    await fetch('127.0.0.1:1/pause:3.10.2', site.url);
    expect(site.asked[0]).toBe(`GET ${throughMirror('manifests/3.10.2')}`);
  });

  test('that has not the image leaves it to the registry', async () => {
    const mirror = await startSite();
    await fetch(nameAt(site.url), mirror.url);
    expect(mirror.asked).toHaveLength(1);
    expect(site.asked[0]).toBe(`GET ${asks('manifests/3.10.2')}`);
    await mirror.close();
  });
});

describe('an image that cannot be had', () => {
  test('is told in the words of the registry, with what to do', async () => {
    const words = { errors: [{ code: 'MANIFEST_UNKNOWN', message: 'no such tag in this registry' }] };
    site.answers.set(asks('manifests/3.10.2'), [json(words, {}, 404)]);
    const failure = await fetch().catch((thrown) => thrown);
    expect(failure.name).toBe('UserError');
    expect(failure.message).toContain(`${nameAt(site.url)} cannot be had`);
    expect(failure.message).toContain('404 MANIFEST_UNKNOWN: no such tag in this registry');
    expect(failure.next).toContain('--registry-mirror');
    expect(failure.next).toContain('_pause_3.10.2.tar');
  });

  test('is a blob that does not have the digest of its name', async () => {
    const wrong = Buffer.from(await blobOf(source, layer.digest)).fill(0, 0, 10);
    site.answers.set(asks(`blobs/${layer.digest}`), [whole(wrong)]);
    await expect(fetch()).rejects.toThrow(layer.digest.replace('sha256:', ''));
    await expect(readFile(join(folder, 'image.tar'))).rejects.toThrow('ENOENT');
  });

  test('is one whose registry gives another than the one that is pinned, though under its tag', async () => {
    const digests = imageDigests() as Record<string, string>;
    const pinned = `sha256:${'0'.repeat(64)}`;
    digests[nameAt(site.url)] = pinned;
    try {
      site.answers.set(asks(`manifests/${pinned}`), site.answers.get(asks('manifests/3.10.2')) ?? []);
      await expect(fetch()).rejects.toThrow(`not ${pinned}`);
      expect(site.asked).toEqual([`GET ${asks(`manifests/${pinned}`)}`]);
    } finally {
      delete digests[nameAt(site.url)];
    }
  });

  test('is a manifest that does not have the digest that the index gives', async () => {
    site.answers.set(asks(`manifests/${manifest.digest}`), [json({ layers: [] })]);
    await expect(fetch()).rejects.toThrow(`not ${manifest.digest}`);
  });

  test('is one that is not published for this architecture', async () => {
    const other = { ...manifest, platform: { os: 'linux', architecture: 's390x' } };
    site.answers.set(asks('manifests/3.10.2'), [json({ manifests: [other] })]);
    await expect(fetch()).rejects.toThrow(`not published for linux/${arch}, only for linux/s390x`);
  });

  test('is one whose registry cannot be reached, and both that were asked are named', async () => {
    const failure = await fetch('127.0.0.1:1/pause:3.10.2', site.url.replace(/\d+$/, '2')).catch((thrown) => thrown);
    expect(failure.message).toContain('http://127.0.0.1:2/v2/pause/manifests/3.10.2?ns=127.0.0.1:1');
    expect(failure.message).toContain('ECONNREFUSED');
    expect(failure.message).toContain('http://127.0.0.1:1/v2/pause/manifests/3.10.2');
  });

  test('is one whose registry wants a name and a password, or sends elsewhere for a token without https', async () => {
    const refusing = (challenge: string) =>
      site.answers.set(asks('manifests/3.10.2'), [json({}, { 'www-authenticate': challenge }, 401)]);
    refusing('Basic realm="home"');
    await expect(fetch()).rejects.toThrow('wants a name and a password');
    refusing('Bearer realm="http://token.example/",service="x"');
    await expect(fetch()).rejects.toThrow('http://token.example/, which is not an https address');
  });

  test('is one whose registry sends a page of a proxy', async () => {
    site.answers.set(asks('manifests/3.10.2'), [whole(Buffer.from('<html>log in</html>'))]);
    await expect(fetch()).rejects.toThrow("is not JSON: '<html>log in</html>'");
  });

  test('is told after a few attempts where the registry is ill', async () => {
    site.answers.set(asks('manifests/3.10.2'), [status(503)]);
    await expect(fetch()).rejects.toThrow('answered 503');
    expect(site.asked).toHaveLength(7);
    const [first] = told.filter(({ state }) => state === 'waiting');
    expect(first?.words).toBe(`${new URL(site.url).host} answered 503; again in 1 s (2 of 7)`);
  });
});
