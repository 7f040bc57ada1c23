import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { isServiceCommand, supervisorIn, supervisorOf } from '../../lib/daemons/supervisor.ts';
import { attachCommand, endProcess, sessionOf, windowScript } from '../../lib/daemons/tmux.ts';
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
const entry = (argv: readonly string[]) => ({ at: '', step: 'etcd', what: '', undo: { kind: 'run' as const, argv } });
const kill = ['tmux', '-S', '/run/hardway-tmux', 'kill-session', '-t', '=etcd'];

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

test('the ledger tells under whom the components run', () => {
  expect(supervisorIn([entry(['systemctl', 'stop', 'etcd.service'])])).toBe(supervisorOf({ supervisor: 'systemd' }));
  expect(supervisorIn([entry(['sysctl', '-qw', 'a=b']), entry(kill)])).toBe(supervisorOf({ supervisor: 'tmux' }));
});

test('commands to a supervisor are known, also in the ledger, and somebody else’s tmux is not it', () => {
  expect(isServiceCommand({ kind: 'run', argv: kill })).toBe(true);
  expect(isServiceCommand({ kind: 'run', argv: ['systemctl', 'stop', 'etcd.service'] })).toBe(true);
  expect(isServiceCommand({ kind: 'run', argv: ['tmux', 'kill-session', '-t', 'etcd'] })).toBe(false);
  expect(isServiceCommand({ kind: 'run', argv: ['sysctl', '-qw', 'a=b'] })).toBe(false);
});

describe('the end of a process', () => {
  const shell = async (script: string): Promise<number> => {
    const child = spawn('sh', ['-c', `${script}\necho up; while :; do sleep 1; done`]);
    await once(child.stdout, 'data');
    return child.pid ?? 0;
  };

  test('comes with the first signal where the process obeys', async () => {
    const pid = await shell('');
    await endProcess(pid, 'SIGTERM');
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  test('comes by SIGKILL where the process does not obey in time', async () => {
    const pid = await shell("trap '' TERM");
    await endProcess(pid, 'SIGTERM', 50);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  test('is no error where it came between the look and the signal', async () => {
    const pid = await shell('');
    const kill = process.kill.bind(process);
    const raced = vi.spyOn(process, 'kill').mockImplementation((id, signal) => {
      kill(id, 'SIGKILL');
      throw Object.assign(new Error(`kill ESRCH ${signal}`), { code: 'ESRCH' });
    });
    try {
      await endProcess(pid, 'SIGTERM', 5000);
      expect(raced).toHaveBeenCalledOnce();
    } finally {
      raced.mockRestore();
    }
  });

  test('is given up for a process that not even SIGKILL ends', async () => {
    const pid = await shell('');
    const ignored = vi.spyOn(process, 'kill').mockReturnValue(true);
    try {
      await expect(endProcess(pid, 'SIGTERM', 30)).rejects.toThrow(`process ${pid} does not end`);
    } finally {
      ignored.mockRestore();
      process.kill(pid, 'SIGKILL');
    }
  });
});
