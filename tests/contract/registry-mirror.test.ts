import { parse } from 'smol-toml';
import { expect, test } from 'vitest';
import { wordsOf } from '../../lib/cluster/images.ts';
import { hostsFile } from '../../steps/containerd.ts';

// https://github.com/containerd/containerd/blob/main/docs/hosts.md
test('containerd is told to ask the mirror first, for names and for content', () => {
  expect(parse(hostsFile('http://127.0.0.1:5000'))).toEqual({
    host: { 'http://127.0.0.1:5000': { capabilities: ['pull', 'resolve'] } },
  });
});

test('a key that holds dots and colons is quoted', () => {
  expect(hostsFile('https://mirror.example:8443/path')).toContain('[host."https://mirror.example:8443/path"]');
});

// As crictl v1.36.0 writes it.
test("of what crictl says the registry's own words are kept", () => {
  const line = String.raw`time="2026-11-20T23:07:11Z" level=fatal msg="pulling image: failed to pull and unpack image \"127.0.0.1:1/none:1\": failed to resolve image: failed to do request: Head \"https://127.0.0.1:1/v2/none/manifests/1\": dial tcp 127.0.0.1:1: connect: connection refused"`;
  expect(wordsOf(`warning\n${line}\n`)).toBe(
    'failed to resolve image: failed to do request: Head "https://127.0.0.1:1/v2/none/manifests/1": dial tcp 127.0.0.1:1: connect: connection refused',
  );
  expect(wordsOf('ctr: no such file\n')).toBe('ctr: no such file');
});
