import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface Site {
  readonly url: string;
  /** `METHOD path range` of what was asked, in order. */
  readonly asked: string[];
  /** What each path answers: one answer a request, the last one for all later ones. */
  readonly answers: Map<string, Answer[]>;
  readonly close: () => Promise<void>;
}

/** A site on loopback that answers as the test says, and 404 for the rest. */
export const startSite = async (): Promise<Site> => {
  const asked: string[] = [];
  const answers = new Map<string, Answer[]>();
  const server = createServer((request, response) => {
    asked.push([request.method, request.url, request.headers.range].filter(Boolean).join(' '));
    const left = answers.get(request.url ?? '');
    const answer = left && left.length > 1 ? left.shift() : left?.[0];
    if (answer) answer(request, response);
    else response.writeHead(404).end();
  });
  // As a proxy it passes everything on.
  server.on('connect', (request, client) => {
    asked.push(`CONNECT ${request.url}`);
    const { hostname, port } = new URL(`http://${request.url}`);
    const upstream = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      client.pipe(upstream).pipe(client);
    });
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    answers,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

export const sumOf = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');

/** A good server: the whole file, or the rest of it where a Range is asked for. */
export const whole =
  (data: Buffer): Answer =>
  (request, response) => {
    const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    if (from === undefined) {
      response.writeHead(200, { 'content-length': data.length }).end(data);
    } else if (Number(from) >= data.length) {
      response.writeHead(416).end();
    } else {
      const rest = data.subarray(Number(from));
      response
        .writeHead(206, {
          'content-length': rest.length,
          'content-range': `bytes ${from}-${data.length - 1}/${data.length}`,
        })
        .end(rest);
    }
  };

/** Sends the first half of what was asked for, then drops the connection, once something of it is in the file. */
export const cut =
  (data: Buffer, file: string): Answer =>
  (request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const rest = data.subarray(from);
    const range = from > 0 ? { 'content-range': `bytes ${from}-${data.length - 1}/${data.length}` } : {};
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': rest.length, ...range });
    response.write(rest.subarray(0, rest.length / 2));
    const drop = () => {
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > from) response.destroy();
      else setTimeout(drop, 1);
    };
    drop();
  };

/** Sends the first half of what it promised, then nothing any more. */
export const stall =
  (data: Buffer): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'content-length': data.length });
    response.write(data.subarray(0, data.length / 2));
  };

/** Sends everything, whatever Range was asked for. */
export const ignoresRange =
  (data: Buffer): Answer =>
  (_request, response) =>
    response.writeHead(200, { 'content-length': data.length }).end(data);

/** Says that the file is shorter than it is, and so sends only a part of it. */
export const liesShort =
  (data: Buffer): Answer =>
  (_request, response) =>
    response.writeHead(200, { 'content-length': data.length / 2 }).end(data.subarray(0, data.length / 2));

export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_request, response) =>
    response.writeHead(code, headers).end();

/**
 * Has a site serve an image as a mirror of its registry does: a config and one layer that hold nothing. Returns its
 * digest.
 */
export const publishImage = (site: Site, reference: string): string => {
  const [, host = '', repository = '', tag = ''] = /^([^/]+)\/(.+):([^:]+)$/.exec(reference) ?? [];
  const publish = (kind: string, name: string, data: string): string => {
    site.answers.set(`/v2/${repository}/${kind}/${name || `sha256:${sumOf(data)}`}?ns=${host}`, [
      whole(Buffer.from(data)),
    ]);
    return `sha256:${sumOf(data)}`;
  };
  const blob = (mediaType: string, data: string) => {
    return { mediaType, digest: publish('blobs', '', data), size: data.length };
  };
  const config = blob('application/vnd.oci.image.config.v1+json', '{}');
  const layers = [blob('application/vnd.oci.image.layer.v1.tar', `layer of ${reference}`)];
  const manifest = JSON.stringify({ schemaVersion: 2, config, layers });
  publish('manifests', tag, manifest);
  return publish('manifests', '', manifest);
};
