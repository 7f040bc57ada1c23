import { expect, test } from 'vitest';
import { unitFile } from '../../lib/daemons/systemd.ts';
import { commandLine, type Daemon, filesReadBy, flag } from '../../lib/engine/daemon.ts';

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
