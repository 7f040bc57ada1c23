import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  childrenOf,
  commandLineOf,
  endFamily,
  endProcess,
  executableOf,
  identify,
  isAlive,
  nameOf,
  parseStat,
  processesUsing,
  runsFile,
  signalProcess,
} from '../../lib/host/proc.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let started: ReturnType<typeof spawn>[];
beforeEach(async () => {
  scratch = await scratchFolder();
  started = [];
});
afterEach(async () => {
  for (const child of started) child.kill('SIGKILL');
  await scratch.remove();
});
const at = (name: string): string => `${scratch.path}/${name}`;

const start = async (file: string, args: readonly string[], cwd = '/'): Promise<number> => {
  const child = spawn(file, args, { cwd, stdio: 'ignore' });
  started.push(child);
  await once(child, 'spawn');
  return child.pid ?? 0;
};

const isRunning = (pid: number): boolean => {
  const id = identify(pid);
  return id !== undefined && isAlive(id);
};

const statOf = (name: string): string =>
  `4711 (${name}) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2`;

describe('/proc/PID/stat', () => {
  test.each(['sleep', 'tmux: server', 'a) R 9 (b', '(x)', 'a\nb', ') Z 1'])(
    'is read of a process called %j',
    (name) => {
      expect(parseStat(statOf(name))).toEqual({
        pid: 4711,
        state: 'S',
        parent: 1,
        start: 987654,
        cpuTicks: 5 + 6 + 7 + 8,
      });
    },
  );
});

describe('a process', () => {
  test('is recognised by its pid and start', () => {
    const self = identify(process.pid);
    expect(self && isAlive(self)).toBe(true);
  });

  test('is not mistaken for a later one with the same pid, and does not get its signals', () => {
    const earlier = { pid: process.pid, start: 1 };
    expect(isAlive(earlier)).toBe(false);
    signalProcess(earlier, 'SIGKILL');
  });

  test('that has ended and that nobody has waited for is there but does not run', async () => {
    // the shell becomes sleep, which never waits for the child that the shell had
    const parent = await start('sh', ['-c', 'true & exec sleep 600']);
    const child = await vi.waitFor(() => {
      const [pid] = childrenOf(parent);
      const id = pid === undefined ? undefined : identify(pid);
      if (!id || isAlive(id)) throw new Error('no zombie yet');
      return id;
    });
    expect(childrenOf(parent)).toEqual([child.pid]);
    expect(commandLineOf(child.pid)).toEqual([]);
  });

  test('is among the children of its parent', () => {
    expect(childrenOf(process.ppid)).toContain(process.pid);
  });

  test('that is not there has no name, no program and no words', () => {
    const none = 99_999_999;
    expect([identify(none), nameOf(none), executableOf(none), commandLineOf(none)]).toEqual([undefined, '', '', []]);
  });

  test('has the words that it was started with, empty ones and lines too', async () => {
    const words = ['-c', 'read x', '', 'a\nb', ' '];
    const pid = await start('sleep', ['600', ...[]]);
    expect(commandLineOf(pid)).toEqual(['sleep', '600']);
    const shell = await start('sh', ['-c', 'sleep 600; :', ...words]);
    expect(commandLineOf(shell)).toEqual(['sh', '-c', 'sleep 600; :', ...words]);
    await endFamily(shell, 1000);
  });

  test('keeps the path of its program when that is deleted', async () => {
    await copyFile('/bin/sleep', at('our sleep'));
    const pid = await start(at('our sleep'), ['600']);
    await vi.waitFor(() => expect(executableOf(pid)).toBe(at('our sleep')));
    await rm(at('our sleep'));
    expect(executableOf(pid)).toBe(at('our sleep'));
  });

  test('that works in a folder is named, and one beside it is not', async () => {
    await mkdir(at('used/inner'), { recursive: true });
    await mkdir(at('used-not'));
    const pid = await start('sleep', ['600'], at('used/inner'));
    await vi.waitFor(() => expect(processesUsing(at('used'))).toBe(`; used by sleep (pid ${pid})`));
    expect(processesUsing(at('used-not'))).toBe('');
  });
});

test('a process that ignores SIGTERM ends with its children all the same', async () => {
  await writeFile(at('deaf'), `trap '' TERM\nsleep 600 &\nwhile :; do sleep 1; done\n`);
  const pid = await start('sh', [at('deaf')]);
  await vi.waitFor(() => expect(childrenOf(pid).length).toBeGreaterThan(1));
  const family = [pid, ...childrenOf(pid)].flatMap((one) => identify(one) ?? []);
  await endFamily(pid, 300);
  expect(family.filter(isAlive)).toEqual([]);
});

describe('the end of a process', () => {
  const shell = async (script: string): Promise<number> => {
    const child = spawn('sh', ['-c', `${script}\necho up; while :; do sleep 1; done`]);
    started.push(child);
    await once(child.stdout, 'data');
    return child.pid ?? 0;
  };

  test('comes with the first signal where the process obeys', async () => {
    const pid = await shell('');
    await endProcess(pid, 'SIGTERM');
    expect(isRunning(pid)).toBe(false);
  });

  test('comes by SIGKILL where the process does not obey in time', async () => {
    const pid = await shell("trap '' TERM");
    await endProcess(pid, 'SIGTERM', 50);
    expect(isRunning(pid)).toBe(false);
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

describe('the file that a process runs', () => {
  test('is its program, until that is replaced by another file', async () => {
    await copyFile('/bin/sleep', at('sleep'));
    const child = spawn(at('sleep'), ['60']);
    started.push(child);
    await once(child, 'spawn');
    await expect.poll(() => runsFile(child.pid ?? 0, at('sleep'))).toBe(true);
    await rm(at('sleep'));
    await copyFile('/bin/sleep', at('sleep'));
    expect(runsFile(child.pid ?? 0, at('sleep'))).toBe(false);
  });

  test('is a script where its interpreter was started for one, and no other script', async () => {
    for (const name of ['daemon', 'other']) await writeFile(at(name), '#!/bin/sh\nread line\n', { mode: 0o755 });
    const child = spawn(at('daemon'), { stdio: 'pipe' });
    started.push(child);
    await once(child, 'spawn');
    await expect.poll(() => runsFile(child.pid ?? 0, at('daemon'))).toBe(true);
    expect(runsFile(child.pid ?? 0, at('other'))).toBe(false);
    expect(runsFile(child.pid ?? 0, at('nothing'))).toBe(false);
  });
});
