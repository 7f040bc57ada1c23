import { afterEach, expect, test, vi } from 'vitest';
import { mirrored } from '../../../lib/binaries/download.ts';
import { plan } from '../../../lib/binaries/release.ts';

afterEach(() => vi.unstubAllEnvs());

test('a tarball is fetched once for all that is in it', () => {
  const files = plan(['etcd', 'etcdctl', 'etcdutl'], 'amd64');
  expect(files).toHaveLength(1);
  expect(files[0]?.url).toBe(
    'https://github.com/etcd-io/etcd/releases/download/v3.6.14/etcd-v3.6.14-linux-amd64.tar.gz',
  );
  expect(files[0]?.binaries.get('etcdctl')).toBe('etcd-v3.6.14-linux-amd64/etcdctl');
});

test('a published binary has no member, and its checksum is that of the architecture', () => {
  const [file] = plan(['kubelet'], 'arm64');
  expect(file?.url).toBe('https://dl.k8s.io/release/v1.36.3/bin/linux/arm64/kubelet');
  expect(file?.sha256).toMatch(/^57205a5d/);
  expect([...(file?.binaries ?? [])]).toEqual([['kubelet', undefined]]);
});

test('a file without a pinned checksum has none in the plan, so that the published one is asked for', () => {
  expect(plan(['kube-apiserver'], 'amd64')[0]?.sha256).toBeUndefined();
});

test('without HARDWAY_MIRROR upstream is asked', () => {
  vi.stubEnv('HARDWAY_MIRROR', '');
  expect(mirrored('https://dl.k8s.io/a')).toBe('https://dl.k8s.io/a');
});

test('HARDWAY_MIRROR is asked instead, with the upstream host as a folder', () => {
  vi.stubEnv('HARDWAY_MIRROR', 'https://mirror.example/k8s/');
  expect(mirrored('https://dl.k8s.io/a/b')).toBe('https://mirror.example/k8s/dl.k8s.io/a/b');
});

test.each(['http://mirror.example', 'ftp://127.0.0.1', 'mirror'])(
  'the mirror %s is refused with its name',
  (mirror) => {
    vi.stubEnv('HARDWAY_MIRROR', mirror);
    expect(() => mirrored('https://dl.k8s.io/a')).toThrow(mirror);
  },
);
