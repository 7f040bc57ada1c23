import { expect, test } from 'vitest';
import { attachCommand, sessionOf, windowScript } from '../../lib/daemons/tmux.ts';
import { type Daemon, flag } from '../../lib/engine/daemon.ts';
import { components } from '../../steps/index.ts';

const daemon: Daemon = {
  name: 'kube-apiserver',
  description: 'kube-apiserver: the door',
  binary: '/opt/kube-apiserver',
  after: [],
  flags: [flag('name', "it's"), flag('client-cert-auth')],
  service: ['Environment=PATH=/opt:/bin', 'Delegate=yes'],
};
test('the sessions have the names of the guide, each its own', () => {
  expect(components.map(sessionOf)).toEqual([
    'etcd',
    'apiserver',
    'controller',
    'scheduler',
    'containerd',
    'kubelet',
    'proxy',
  ]);
});

test('a window shows everything after its first five lines, then becomes the component', () => {
  const lines = windowScript(daemon).split('\n');
  expect(lines[4]).toBe('sed 1,5d "$0"');
  expect(lines.slice(5)).toEqual([
    'unset HTTP_PROXY http_proxy HTTPS_PROXY https_proxy ALL_PROXY all_proxy',
    'export PATH=/opt:/bin',
    'exec /opt/kube-apiserver \\',
    "  '--name=it'\\''s' \\",
    '  --client-cert-auth',
    '',
  ]);
});

test('inside our own tmux a terminal switches, elsewhere it attaches', () => {
  expect(attachCommand('etcd', undefined)).toContain('attach-session');
  expect(attachCommand('etcd', '/tmp/tmux-0/default,1,0')).toContain('attach-session');
  expect(attachCommand('etcd', '/run/hardway-tmux,1,0')).toContain('switch-client');
});
