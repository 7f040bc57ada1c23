import { describe, expect, test } from 'vitest';
import { unitFile } from '../../lib/daemons/systemd.ts';
import { windowScript } from '../../lib/daemons/tmux.ts';
import { commandLine, type Daemon, filesReadBy, flag, underOwnUser } from '../../lib/engine/daemon.ts';
import { certFile, keyFile } from '../../lib/host/paths.ts';
import { stepsWith } from '../../steps/index.ts';
import { plainLab } from '../fixtures.ts';

const daemon: Daemon = {
  name: 'etcd',
  description: 'etcd: the store',
  binary: '/opt/etcd',
  after: ['network.target', 'kube-apiserver'],
  flags: [flag('name', 'lab-1'), flag('client-cert-auth')],
};
const withValue = (value: string): Daemon => ({ ...daemon, flags: [flag('x', value)] });
const lineOf = (value: string): string =>
  unitFile(withValue(value))
    .split('\n')
    .find((line) => line.includes('--x')) ?? '';

test('the command is the binary and its flags in their order, one word each', () => {
  expect(commandLine(daemon)).toEqual(['/opt/etcd', '--name=lab-1', '--client-cert-auth']);
});

test('a flag whose value is empty keeps its =', () => {
  expect(commandLine(withValue(''))).toEqual(['/opt/etcd', '--x=']);
});

test('the unit file holds the description, what comes first, the command and what this daemon differs in', () => {
  expect(unitFile({ ...daemon, service: ['KillMode=process', 'Delegate=yes'] })).toBe(`[Unit]
Description=etcd: the store
Documentation=https://kubernetes.io/docs/home/
After=network.target kube-apiserver.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/opt/etcd \\
  --name=lab-1 \\
  --client-cert-auth
Restart=always
RestartSec=1
UnsetEnvironment=HTTP_PROXY http_proxy HTTPS_PROXY https_proxy ALL_PROXY all_proxy
KillMode=process
Delegate=yes

[Install]
WantedBy=multi-user.target
`);
});

test('a daemon that waits for nobody has no After=', () => {
  expect(unitFile({ ...daemon, after: [] })).not.toContain('After=');
});

test.each([
  ['plain', '  --x=plain'],
  ['*,bootstrapsigner', '  --x=*,bootstrapsigner'],
  ['100%', '  --x=100%%'],
  ['$HOME', '  --x=$$HOME'],
  ['two words', '  "--x=two words"'],
  ['a;b', '  "--x=a;b"'],
  ["it's", '  "--x=it\'s"'],
  ['say "hi"', '  "--x=say \\"hi\\""'],
  ['back\\slash', '  "--x=back\\\\slash"'],
])('systemd reads the value %s as it is', (value, line) => {
  expect(lineOf(value)).toBe(line);
});

test('a daemon reads the files of ours that its flags and its configuration name, however deep, each once', () => {
  const config = {
    tls: { cert: '/var/lib/hardway/certs/a.pem', port: 1 },
    list: ['/var/lib/hardway/kubeconfigs/b.conf'],
  };
  const flags = [
    flag('cert', '/var/lib/hardway/certs/a.pem'),
    flag('config', '/var/lib/hardway/config/c.yaml'),
    flag('data-dir', '/var/lib/hardway/etcd'),
    flag('socket', '/run/x.sock'),
  ];
  expect(filesReadBy({ ...daemon, flags, config })).toEqual([
    '/var/lib/hardway/certs/a.pem',
    '/var/lib/hardway/config/c.yaml',
    '/var/lib/hardway/kubeconfigs/b.conf',
  ]);
});

describe('a daemon under an account of its own', () => {
  const key = keyFile('etcd-server');
  const own = underOwnUser({
    ...daemon,
    flags: [flag('cert-file', certFile('etcd-server')), flag('key-file', key), flag('peer-key-file', key)],
    writes: '/var/lib/etcd',
  });

  test('names the copies of what only root may read, and the certificate where it lies', () => {
    const copy = '/run/credentials/etcd.service/etcd-server-key.pem';
    expect(own.user).toBe('etcd');
    expect(own.flags.map(({ value }) => value)).toEqual([certFile('etcd-server'), copy, copy]);
  });

  test('starts again when the file is newer of which it has a copy', () => {
    expect(filesReadBy(own)).toEqual([certFile('etcd-server'), key]);
  });

  test('is handed each file once, and has in its unit one folder to write to and no capability', () => {
    const lines = unitFile(own).split('\n');
    expect(lines.filter((line) => line.startsWith('LoadCredential='))).toEqual([
      `LoadCredential=etcd-server-key.pem:${key}`,
    ]);
    expect(lines).toEqual(
      expect.arrayContaining(['User=etcd', 'CapabilityBoundingSet=', 'ReadWritePaths=/var/lib/etcd']),
    );
  });

  test('gives up root’s rights in its window too, after the copies are made in a folder that it cannot change', () => {
    const script = windowScript(own);
    const [copied, started] = [
      script.indexOf(`install -m 440 -g etcd \\\n  ${key} \\\n`),
      script.indexOf('exec setpriv'),
    ];
    expect(script).toContain('install -d -m 750 -g etcd /run/credentials/etcd.service');
    expect(copied).toBeGreaterThan(0);
    expect(started).toBeGreaterThan(copied);
    for (const flag of ['--reuid=etcd', '--regid=etcd', '--clear-groups', '--no-new-privs', '--bounding-set=-all'])
      expect(script).toContain(`  ${flag} \\\n`);
  });

  test('is as its step says', () => {
    for (const { id, account, daemon: made } of stepsWith(plainLab)) expect([id, made?.user]).toEqual([id, account]);
  });
});
