import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { takeLock } from '../../lib/engine/lock.ts';
import { run } from '../../lib/host/run.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let path: string;
beforeEach(async () => {
  scratch = await scratchFolder();
  path = `${scratch.path}/lock`;
});
afterEach(() => scratch.remove());

const lock = JSON.stringify(`${import.meta.dirname}/../../lib/engine/lock.ts`);

/** A Node process that runs `script`; `lines` is what it says. It ends when its stdin does. */
const startNode = (script: string) => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    pid: child.pid ?? 0,
    tell: (text: string) => child.stdin.write(`${text}\n`),
    line: async () => String((await lines.next()).value),
    end: async () => {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
    kill: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
};

const holder = (file: string) =>
  startNode(`import { takeLock } from ${lock};
    takeLock(${JSON.stringify(file)}); console.log('taken'); process.stdin.resume();`);

/** What a process leaves that was killed: its pid, and a start that is long ago. */
const stale = '4194304 1\n';

test('the lock is held until it is given back, and leaves nothing', () => {
  const release = takeLock(path);
  expect(readFileSync(path, 'utf8')).toMatch(new RegExp(`^${process.pid} \\d+\n$`));
  release();
  expect(readdirSync(scratch.path)).toEqual([]);
  takeLock(path)();
});

test('a second holder is refused, with the pid of the first and what to do', async () => {
  const first = holder(path);
  await first.line();
  expect(() => takeLock(path)).toThrow(`(pid ${first.pid})`);
  expect(() => takeLock(path)).toThrow(expect.objectContaining({ name: 'UserError', next: expect.any(String) }));
  await first.end();
});

test('the lock of a process that was killed is taken over', async () => {
  const first = holder(path);
  await first.line();
  await first.kill();
  const release = takeLock(path);
  expect(readFileSync(path, 'utf8')).toContain(`${process.pid} `);
  release();
  expect(readdirSync(scratch.path)).toEqual([]);
});

test.each([
  ['a pid that lives but was given to another process since', `${process.pid} 1\n`],
  ['a pid that is nobody’s', stale],
  ['a file that was torn', '12'],
  ['an empty file', ''],
])('a lock with %s is taken over', (_, content) => {
  writeFileSync(path, content);
  takeLock(path)();
  expect(existsSync(path)).toBe(false);
});

test('a take-over that was killed half way is taken over too', () => {
  writeFileSync(path, stale);
  writeFileSync(`${path}.takeover`, stale);
  takeLock(path)();
  expect(readdirSync(scratch.path)).toEqual([]);
});

test('a lock cannot be taken where its folder is missing', () => {
  expect(() => takeLock(`${scratch.path}/nowhere/lock`)).toThrow('ENOENT');
});

/** Each of these takes every lock that it can get, in the same order as the others, and keeps them. */
const racer = `
  import { once } from 'node:events';
  import { takeLock } from ${lock};
  console.log('ready');
  const [line] = await once(process.stdin.setEncoding('utf8'), 'data');
  const won = [];
  for (const path of JSON.parse(line)) {
    try { takeLock(path); won.push(path); } catch (error) { if (error.name !== 'UserError') throw error; }
  }
  console.log(JSON.stringify(won));
  process.stdin.resume();`;

describe('of several processes that want one lock at the same moment exactly one gets it', () => {
  test.each([
    ['where there is none', undefined],
    ['where the last holder was killed', stale],
  ])('%s', async (_, content) => {
    const locks = Array.from({ length: 300 }, (_, index) => `${path}-${index}`);
    if (content !== undefined) for (const one of locks) writeFileSync(one, content);
    const racers = Array.from({ length: 3 }, () => startNode(racer));
    for (const one of racers) expect(await one.line()).toBe('ready');
    for (const one of racers) one.tell(JSON.stringify(locks));
    const won = (await Promise.all(racers.map(async (one) => JSON.parse(await one.line()) as string[]))).flat();
    await Promise.all(racers.map((one) => one.end()));
    expect(won.toSorted()).toEqual(locks.toSorted());
    expect(readdirSync(scratch.path).toSorted()).toEqual(
      locks.map((one) => one.slice(scratch.path.length + 1)).toSorted(),
    );
  });
});

describe('what is no lock', () => {
  test.each([
    ['a folder', 'a folder', (place: string) => mkdirSync(place)],
    ['a link that leads nowhere', 'a link', (place: string) => symlinkSync('/nowhere', place)],
    ['a FIFO', 'a FIFO', (place: string) => run('mkfifo', [place])],
    ['a file of gigabytes', 'a file of somebody else', (place: string) => run('truncate', ['-s', '3G', place])],
  ])('%s at the place of the lock is refused by its name, and left alone', async (_, words, make) => {
    await make(path);
    expect(() => takeLock(path)).toThrow(`${path}, the lock of hardway, is ${words}`);
    expect(() => takeLock(path)).toThrow(expect.objectContaining({ name: 'UserError', next: expect.any(String) }));
    expect(readdirSync(scratch.path)).toEqual(['lock']);
  });

  test('at the place of a take-over is refused too', () => {
    writeFileSync(path, stale);
    mkdirSync(`${path}.takeover`);
    expect(() => takeLock(path)).toThrow(`${path}.takeover, the lock of hardway, is a folder`);
  });
});
