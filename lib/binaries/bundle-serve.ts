import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { sentenceOf, UserError } from '../engine/errors.ts';
import type { Bundle, Place } from './bundle.ts';

/** First and last byte that a Range header asks for (RFC 9110, 14.2); undefined for all, `none` where there is nothing. */
const rangeOf = (header: string | undefined, size: number): { first: number; last: number } | 'none' | undefined => {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (from === '' && to === '') return undefined;
  const first = from === '' ? Math.max(size - Number(to), 0) : Number(from);
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  return first > last ? 'none' : { first, last };
};

const sendMember = async (
  file: FileHandle,
  { offset, size }: Place,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const range = rangeOf(request.headers.range, size);
  if (range === 'none') return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
  const { first, last } = range ?? { first: 0, last: size - 1 };
  response.writeHead(range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': last - first + 1,
    'accept-ranges': 'bytes',
    ...(range && { 'content-range': `bytes ${first}-${last}/${size}` }),
  });
  if (request.method === 'HEAD' || size === 0) return void response.end();
  // By its number: a FileHandle warns of more than ten streams.
  const bytes = createReadStream('', { fd: file.fd, start: offset + first, end: offset + last, autoClose: false });
  await pipeline(bytes, response).catch(() => undefined); // the other side left
};

/** A bundle that is served. */
export interface Served {
  readonly port: number;
  readonly close: () => Promise<void>;
}

/**
 * Serves the members of a bundle that is a file, each at /MARK/MEMBER, whole or from a byte on; there is nothing else to
 * ask for, so no path leads to another file. Throws UserError where the port is taken.
 */
export const serveBundle = async (
  { from, mark, members }: Bundle,
  { port, host }: { readonly port: number; readonly host?: string },
): Promise<Served> => {
  const file = await open(from);
  const server = createServer((request, response) => {
    const name = request.url?.startsWith(`/${mark}/`) ? request.url.slice(mark.length + 2) : '';
    const place = members.get(name);
    if (request.method !== 'GET' && request.method !== 'HEAD') response.writeHead(405, { allow: 'GET, HEAD' }).end();
    else if (place) void sendMember(file, place, request, response);
    else response.writeHead(404).end();
  });
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  } catch (error) {
    await file.close();
    throw new UserError(`port ${port} cannot be used: ${sentenceOf(error)}`, 'hardway bundle serve --port 8081 FILE');
  }
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await file.close();
    },
  };
};
