// Plays the sites that `hardway up` asks, in a VM and under their own names: the release files and images are those of the
// cache, packed as upstream packs them, and a clone of the project is told their checksums.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  createReadStream,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { archivePath, binaryPath } from '../../lib/binaries/cache.ts';
import { labImages } from '../../lib/binaries/needed.ts';
import { plan } from '../../lib/binaries/release.ts';
import { imageDigests } from '../../lib/binaries/versions.ts';
import { architectures, exampleLab } from '../../lib/engine/lab.ts';
import { needsOf } from '../../lib/engine/step.ts';
import { readText, sha256OfFile } from '../../lib/host/files.ts';
import { stepsWith } from '../../steps/index.ts';
import { authority, certificateFor } from '../contract/binaries/tls.ts';

const cache = '/var/cache/hardway';
const sites = '/srv/sites';
/** One line a request: method, site and path, first byte, bytes that were sent. */
const log = `${sites}/log`;
/** While it is there, a connection gets so many bytes a second. */
const slow = `${sites}/slow`;

const arch = architectures[process.arch] ?? 'amd64';
const needs = needsOf(stepsWith(exampleLab));
const files = plan([...needs.programs, ...needs.plugins], arch);
const images = labImages({ cni: 'bridge' }, needs);

const place = (url: string): string => join(sites, url.replace('https://', ''));

const placed = (path: string, write: (path: string) => void): void => {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  write(path);
};

/** Packs files, name in the tarball to path, as a release does. */
const packed = (output: string, members: ReadonlyMap<string, string>): void => {
  const folder = `${output}.folder`;
  for (const [member, path] of members) placed(join(folder, member), (link) => symlinkSync(path, link));
  execFileSync('sh', ['-euc', 'cd "$1"; tar -ch * | gzip -1 >"$2"', 'sh', folder, output]);
  rmSync(folder, { recursive: true });
};

const digestOf = (data: string): string => `sha256:${createHash('sha256').update(data).digest('hex')}`;

/** Publishes what the archive of an image holds, below an index for two architectures. Returns the index's digest. */
const publishImage = (reference: string): string => {
  const [host = '', ...path] = reference.slice(0, reference.lastIndexOf(':')).split('/');
  const root = join(sites, host, 'v2', ...path);
  const unpacked = `${sites}/unpacked`;
  mkdirSync(unpacked, { recursive: true });
  execFileSync('tar', ['-xf', archivePath(cache, arch, reference), '-C', unpacked]);
  const blob = (digest: string): string => join(unpacked, 'blobs/sha256', digest.replace('sha256:', ''));
  const [{ mediaType, digest, size }] = JSON.parse(readFileSync(join(unpacked, 'index.json'), 'utf8')).manifests;
  const { config, layers } = JSON.parse(readFileSync(blob(digest), 'utf8'));
  placed(join(root, 'manifests', digest), (to) => linkSync(blob(digest), to));
  for (const one of [config, ...layers])
    placed(join(root, 'blobs', one.digest), (to) => linkSync(blob(one.digest), to));
  const other = { mediaType, digest: digestOf('nothing'), size: 7, platform: { os: 'linux', architecture: 's390x' } };
  const manifests = [other, { mediaType, digest, size, platform: { os: 'linux', architecture: arch } }];
  const index = JSON.stringify({ schemaVersion: 2, manifests });
  placed(join(root, 'manifests', digestOf(index)), (to) => writeFileSync(to, index));
  rmSync(unpacked, { recursive: true });
  return digestOf(index);
};

const patch = (path: string, changes: readonly (readonly [string | RegExp, string])[]): void => {
  let text = readFileSync(path, 'utf8');
  for (const [from, to] of changes) {
    if (!text.match(from)) throw new Error(`${path} has no ${from}`);
    text = text.replace(from, to);
  }
  writeFileSync(path, text);
};

/** Makes the files of all sites, and tells the clone their checksums. */
const prepare = async (clone: string): Promise<void> => {
  const sums: (readonly [RegExp, string])[] = [];
  for (const { url, sha256, binaries, productName, product } of files) {
    const from = (name: string): string => binaryPath(cache, arch, productName, product.version, name);
    placed(place(url), (path) => {
      const members = [...binaries].flatMap(([name, member]) => (member ? [[member, from(name)] as const] : []));
      if (members.length > 0) packed(path, new Map(members));
      else for (const name of binaries.keys()) copyFileSync(from(name), path);
    });
    const sum = await sha256OfFile(place(url));
    writeFileSync(`${place(url)}.sha256`, `${sum}  ${basename(url)}\n`);
    if (sha256) sums.push([new RegExp(`^[0-9a-f]{64}(?=  ${url.replaceAll('.', '\\.')} )`, 'm'), sum]);
  }
  patch(`${clone}/lib/binaries/sums.txt`, sums);
  patch(
    `${clone}/lib/binaries/versions.yaml`,
    images.map((reference) => [imageDigests()[reference] ?? '', publishImage(reference)] as const),
  );
  const launcher = await readText(`${clone}/bin/node.sh`);
  const release = /^node_release=(.+)$/m.exec(launcher)?.[1];
  const name = `node-${release}-linux-${process.arch}`;
  const node = join(sites, 'nodejs.org/dist', `${release}`, `${name}.tar.gz`);
  placed(node, (path) => packed(path, new Map([[`${name}/bin/node`, process.execPath]])));
  patch(`${clone}/bin/node.sh`, [[new RegExp(`(?<=^node_sha256_${process.arch}=).*`, 'm'), await sha256OfFile(node)]]);
};

const send = async (request: IncomingMessage, response: ServerResponse, path: string): Promise<void> => {
  const { size } = statSync(path);
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const range = from > 0 ? { 'content-range': `bytes ${from}-${size - 1}/${size}` } : {};
  response.writeHead(from > 0 ? 206 : 200, { 'content-length': size - from, ...range });
  let sent = 0;
  const paced = async function* (source: AsyncIterable<Buffer>) {
    for await (const chunk of source) {
      yield chunk;
      sent += chunk.length;
      if (existsSync(slow)) await sleep((chunk.length / Number(readFileSync(slow, 'utf8'))) * 1000);
    }
  };
  if (request.method === 'GET')
    await pipeline(createReadStream(path, { start: from }), paced, response).catch(() => undefined); // the other side left
  response.end();
  appendFileSync(log, `${request.method} ${path.slice(sites.length + 1)} ${from} ${sent}\n`);
};

/** What a site answers, as it does: a redirect to the storage of releases, a registry that wants a token. */
const answer = (request: IncomingMessage, response: ServerResponse): void => {
  const { host = '' } = request.headers;
  const url = new URL(request.url ?? '', `https://${host}`);
  const path = join(sites, host, url.pathname);
  if (host === 'github.com') {
    response.writeHead(302, { location: `https://release-assets.githubusercontent.com${url.pathname}` }).end();
  } else if (url.pathname === '/token') response.end(JSON.stringify({ token: 'let me in' }));
  else if (url.pathname.startsWith('/v2/') && request.headers.authorization !== 'Bearer let me in') {
    const scope = `realm="https://${host}/token",service="${host}"`;
    response.writeHead(401, { 'www-authenticate': `Bearer ${scope}` }).end('{}');
  } else {
    const file = path.replace('/release-assets.githubusercontent.com/', '/github.com/');
    if (existsSync(file)) void send(request, response, file);
    else response.writeHead(404).end();
  }
};

/** Serves all sites on loopback, by a CA that is made known to this machine. */
const serve = (): void => {
  const hosts = new Set([
    ...files.map(({ url }) => new URL(url).host),
    ...images.map((one) => one.split('/')[0] ?? ''),
  ]);
  const names = [...hosts, 'nodejs.org', 'release-assets.githubusercontent.com'];
  writeFileSync('/usr/local/share/ca-certificates/test.crt', authority());
  execFileSync('update-ca-certificates');
  appendFileSync('/etc/hosts', names.map((name) => `127.0.0.1 ${name}\n`).join(''));
  writeFileSync(log, '');
  createServer(certificateFor(names), answer).listen(443, '127.0.0.1');
};

const [command, clone] = process.argv.slice(2);
if (command === 'prepare' && clone) await prepare(clone);
else serve();
