import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { ipJson, linksOfKind, otherNetworkNamespaces, parseSockets, sockets } from '../../lib/host/net.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';

describe('ss', () => {
  test.each([
    ['127.0.0.53%lo:53', '127.0.0.53%lo', 53, 'systemd-resolve'],
    ['[::ffff:127.0.0.1]:6443', '[::ffff:127.0.0.1]', 6443, 'kube-apiserver'],
    ['*:10250', '*', 10250, 'tmux: server'],
    ['0.0.0.0:80', '0.0.0.0', 80, 'a") (b'],
  ])('prints %s for address and port, with a holder of any name', (local, address, port, process) => {
    const line = `tcp   LISTEN 0      4096   ${local}   0.0.0.0:*    users:(("${process}",pid=42,fd=7),("x",pid=43,fd=8))\n`;
    expect(parseSockets(line)).toEqual([{ protocol: 'tcp', address, port, pid: 42, process }]);
  });

  test('prints no holder that it may not see, and nothing where nothing listens', () => {
    const [socket] = parseSockets('udp   UNCONN 0      0        10.0.0.5:68    0.0.0.0:*\n');
    expect(socket).toEqual({ protocol: 'udp', address: '10.0.0.5', port: 68, pid: 0, process: '' });
    expect(parseSockets('')).toEqual([]);
  });

  test('finds a port of this process', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        resolve(typeof address === 'object' && address ? address.port : 0);
      });
    });
    try {
      const found = (await sockets('tcp')).find((one) => one.port === port);
      expect(found).toMatchObject({ protocol: 'tcp', address: '127.0.0.1', pid: process.pid });
    } finally {
      server.close();
    }
  });
});

describe('ip', () => {
  test('has the loopback link', async () => {
    expect(await ipJson('link', 'show')).toContainEqual(expect.objectContaining({ ifname: 'lo' }));
  });

  test('leaves out the empty objects of links that do not fit', async () => {
    const fitting = await ipJson<{ ifname?: string }>('addr', 'show', 'to', '127.0.0.1/32');
    expect(fitting.map(({ ifname }) => ifname)).toEqual(['lo']);
  });

  test('has nothing to say of what it does not know', async () => {
    expect(await ipJson('link', 'show', 'dev', 'no-such-link')).toEqual([]);
  });
});

test('an ip that prints something else than JSON is named with its words', async () => {
  const scratch = await scratchFolder();
  await writeFile(`${scratch.path}/ip`, '#!/bin/sh\necho no such option\n');
  await chmod(`${scratch.path}/ip`, 0o755);
  vi.stubEnv('PATH', `${scratch.path}:${process.env['PATH']}`);
  try {
    await expect(ipJson('route')).rejects.toThrow('ip -j route prints no JSON, but "no such option');
  } finally {
    vi.unstubAllEnvs();
    await scratch.remove();
  }
});

test('the network namespace of another process is found and looked into, and is no more once that has ended', async (context) => {
  needsRoot(context);
  const child = spawn('sh', ['-c', 'exec unshare --net sh -c "echo; exec sleep 60"'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const file = `/proc/${child.pid}/ns/net`;
  try {
    await once(child.stdout, 'data');
    const found = otherNetworkNamespaces();
    expect(found.map((one) => readlinkSync(one))).toContain(readlinkSync(file));
    expect(found.map((one) => readlinkSync(one))).not.toContain(readlinkSync('/proc/self/ns/net'));
    expect(await linksOfKind('dummy', file)).toEqual([]);
  } finally {
    child.kill('SIGKILL');
  }
  await once(child, 'exit');
  expect(otherNetworkNamespaces()).not.toContain(file);
  expect(await linksOfKind('dummy', file)).toEqual([]);
});
