import { chmod, copyFile, rename, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { isOutdated, settleUnits, stopUnits, unitFile } from '../../lib/daemons/systemd.ts';
import { type Daemon, flag } from '../../lib/engine/daemon.ts';
import { openGate } from '../../lib/engine/gate.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeEach(async () => {
  scratch = await scratchFolder();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await scratch.remove();
});

/** Puts a `systemctl` of this test's own first on PATH. */
const systemctl = async (script: string): Promise<void> => {
  await writeFile(`${scratch.path}/systemctl`, `#!/bin/sh\ncd ${scratch.path}\n${script}\n`);
  await chmod(`${scratch.path}/systemctl`, 0o755);
  vi.stubEnv('PATH', `${scratch.path}:${process.env['PATH']}`);
};

describe('jobs that a killed command has left to systemd', () => {
  const { signal } = new AbortController();

  test('are waited for', async () => {
    await systemctl('echo x >>asked; [ "$(wc -l <asked)" -ge 3 ] || echo "12 etcd.service stop waiting"');
    await settleUnits(['etcd'], signal);
    await systemctl('[ "$(wc -l <asked)" -eq 3 ] && [ "$*" = "list-jobs --plain --no-legend" ]');
    await expect(settleUnits([], signal)).resolves.toBeUndefined();
  });

  test('are left to themselves where they are not of our components', async () => {
    await systemctl('echo "12 apt-daily.service start running"');
    await expect(settleUnits(['etcd'], signal)).resolves.toBeUndefined();
  });

  test('are no reason to go on when the person has had enough', async () => {
    await systemctl('echo "12 etcd.service stop waiting"');
    await expect(settleUnits(['etcd'], AbortSignal.abort(new Error('Ctrl-C')))).rejects.toThrow('Ctrl-C');
  });
});

describe('a stop that systemd refuses in part', () => {
  const stopped = async (active: string): Promise<readonly string[]> => {
    await systemctl(`case $1 in
      show) printf 'LoadState=loaded\\nActiveState=%s\\nSubState=x\\n' ${active} ;;
      *) echo 'Failed to stop containerd.service: Unit containerd.service not loaded.' >&2; exit 5 ;;
    esac`);
    const gate = openGate(false, () => {});
    await gate.runStage('stop', (undoer) => stopUnits([{ name: 'containerd' }], undoer));
    return gate.failures;
  };

  test('is done when nothing runs any more: a killed reset had removed the unit', async () => {
    expect(await stopped('inactive')).toEqual([]);
  });

  test('is a failure as long as a component runs', async () => {
    expect(await stopped('active')).toEqual(['containerd']);
  });
});

describe('a process', () => {
  const daemon = (more: Partial<Daemon> = {}): Daemon => ({
    name: 'etcd',
    description: 'etcd',
    binary: process.execPath,
    flags: [flag('name', 'x')],
    after: [],
    ...more,
  });
  const now = { pid: process.pid, since: Date.now() - 1000 };

  test('that runs the program that is there is kept', async () => {
    expect(await isOutdated(daemon(), now)).toBe(false);
  });

  test('whose program was replaced since is outdated, though the file has the same name and content', async () => {
    const binary = `${scratch.path}/etcd`;
    await copyFile(process.execPath, `${binary}.new`);
    await rename(`${binary}.new`, binary);
    expect(await isOutdated(daemon({ binary }), now)).toBe(true);
  });

  test('that has ended is outdated', async () => {
    expect(await isOutdated(daemon(), { ...now, pid: 0 })).toBe(true);
  });
});

describe('a unit file', () => {
  const daemon: Daemon = { name: 'etcd', description: 'etcd', binary: '/opt/etcd', flags: [], after: [] };

  test('keeps the proxy of the service manager from a component: it would ask the others through it', () => {
    const line = unitFile(daemon)
      .split('\n')
      .find((one) => one.startsWith('UnsetEnvironment='));
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) expect(line).toContain(name);
  });

  test('gives the one that asks registries the proxy of a file that only root may read', () => {
    const text = unitFile({ ...daemon, proxyFile: '/x/proxy.env' });
    expect(text).toContain('\nEnvironmentFile=-/x/proxy.env\n');
    expect(text).not.toContain('PROXY');
  });
});
