import { expect, test, vi } from 'vitest';
import { check, type Failure, pauseAfter, runChecks, until, waitFor } from '../../lib/engine/check.ts';
import { cpuMilliseconds } from '../../lib/host/proc.ts';
import { run } from '../../lib/host/run.ts';

const calm = {
  interval: 1,
  deadline: 60_000,
  signal: new AbortController().signal,
  waiting: () => {},
  failFast: async () => {},
};
const passes = (phrase: string) => check(phrase, async () => {});
const fails = (phrase: string, reason = 'no') =>
  check(phrase, async () => {
    throw new Error(reason);
  });

/** Throws each of the reasons once, then passes. */
const after = (phrase: string, reasons: readonly string[]) => {
  const left = [...reasons];
  return check(phrase, async () => {
    const reason = left.shift();
    if (reason !== undefined) throw new Error(reason);
  });
};

test('looking once returns what fails, in the order of the checks and not of their answers', async () => {
  let answer = (): void => {};
  const slow = check('slow', async () => {
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    throw new Error('late');
  });
  const quick = check('quick', async () => {
    answer();
    throw new Error('early');
  });
  expect(await runChecks([slow, passes('good'), quick], undefined)).toEqual([
    { phrase: 'slow', reason: 'late' },
    { phrase: 'quick', reason: 'early' },
  ]);
});

test('a check that throws something else than an Error still has a reason', async () => {
  const odd = check('odd', () => Promise.reject('just words'));
  expect(await runChecks([odd], undefined)).toEqual([{ phrase: 'odd', reason: 'just words' }]);
});

test('waiting ends with the pass of the last check, and tells each reason once', async () => {
  const told: Failure[] = [];
  const checks = [
    after('up', ['refused', 'refused', 'refused', 'status 500']),
    passes('well'),
    after('whole', ['half']),
  ];
  const failure = await waitFor(checks, undefined, { ...calm, waiting: (one) => told.push(one) });
  expect(failure).toBeUndefined();
  expect(told).toEqual([
    { phrase: 'up', reason: 'refused' },
    { phrase: 'up', reason: 'status 500' },
    { phrase: 'whole', reason: 'half' },
  ]);
});

test('a later check is not looked at before the earlier one has passed', async () => {
  const later = vi.fn(async () => {});
  await waitFor([fails('earlier'), check('later', later)], undefined, { ...calm, deadline: 5 });
  expect(later).not.toHaveBeenCalled();
});

test('the deadline returns the last reason, not the first', async () => {
  let looks = 0;
  const counting = check('ready', async () => {
    looks += 1;
    throw new Error(looks === 1 ? 'the first reason' : 'the last reason');
  });
  expect(await waitFor([counting], undefined, { ...calm, deadline: 20 })).toEqual({
    phrase: 'ready',
    reason: 'the last reason',
  });
});

test('each check is looked at at least once, however short the deadline', async () => {
  expect(await waitFor([passes('one'), passes('two')], undefined, { ...calm, deadline: 0 })).toBeUndefined();
});

test('a dead process ends the waiting with what is said of its death', async () => {
  const giveUp = async () => {
    throw new Error('exit code 1');
  };
  await expect(waitFor([fails('ready')], undefined, { ...calm, failFast: giveUp })).rejects.toThrow('exit code 1');
});

test('nobody is asked about death while the checks pass', async () => {
  const giveUp = vi.fn(async () => {});
  await waitFor([passes('one'), passes('two')], undefined, { ...calm, failFast: giveUp });
  expect(giveUp).not.toHaveBeenCalled();
});

test('an abort before the first look prevents it', async () => {
  const look = vi.fn(async () => {});
  const signal = AbortSignal.abort(new Error('Ctrl-C'));
  await expect(waitFor([check('never', look)], undefined, { ...calm, signal })).rejects.toThrow('Ctrl-C');
  expect(look).not.toHaveBeenCalled();
});

test('an abort between two looks ends the waiting at once', async () => {
  const abort = new AbortController();
  const waiting = () => abort.abort();
  const wait = waitFor([fails('ready')], undefined, { ...calm, interval: 60_000, signal: abort.signal, waiting });
  await expect(wait).rejects.toMatchObject({ name: 'AbortError' });
});

test('until throws its phrase with the last reason when the deadline has passed', async () => {
  const look = () => Promise.reject(new Error('refused'));
  await expect(until('it answers', look, { signal: calm.signal, deadline: 1 })).rejects.toThrow('it answers: refused');
});

const never = () => new Promise<void>(() => {});

test('a probe that never answers has failed when its time is over', async () => {
  const failures = await runChecks([check('it answers', never)], undefined, { limitMs: 10 });
  expect(failures).toEqual([{ phrase: 'it answers', reason: 'no answer in 0.01 s' }]);
});

test('a probe is told when its time is over', async () => {
  let told: AbortSignal | undefined;
  const obedient = check('it answers', async (_, signal) => {
    told = signal;
    await never();
  });
  await runChecks([obedient], undefined, { limitMs: 10 });
  expect(told?.aborted).toBe(true);
});

test('an abort in the middle of a probe ends the waiting, whether the probe obeys or not', async () => {
  const abort = new AbortController();
  const deaf = check('never', async () => {
    abort.abort(new Error('Ctrl-C'));
    await never();
  });
  await expect(waitFor([deaf], undefined, { ...calm, signal: abort.signal })).rejects.toThrow('Ctrl-C');
});

test.each([
  ['waited for its time-out', { elapsed: 2000, cpu: 10 }, 50],
  ['computed all the time', { elapsed: 2000, cpu: 1900 }, 1900],
  ['computed beside other work of ours', { elapsed: 300, cpu: 900 }, 300],
  ['was quick', { elapsed: 1, cpu: 0 }, 50],
])('the pause after a probe that %s', (_, cost, pause) => {
  expect(pauseAfter({ interval: 50, ...cost })).toBe(pause);
});

test('the CPU time of a command counts once it has ended, its waiting does not', async () => {
  const usedBy = async (script: string): Promise<number> => {
    const before = cpuMilliseconds();
    await run('sh', ['-c', script]);
    return cpuMilliseconds() - before;
  };
  const computing = await usedBy('i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done');
  expect(computing).toBeGreaterThan(await usedBy('sleep 0.2'));
});

test.each([
  ['no descriptor is left', Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })],
  ['the program that looks cannot be started', new Error('Command failed with ENOENT: crictl\nspawn crictl ENOENT')],
  ['the tool itself has no descriptor', new Error('open /x: too many open files')],
])('a check is told apart that could not be looked at: %s', async (_, error) => {
  const blind = check('it answers', () => Promise.reject(error));
  expect(await runChecks([blind, fails('bad')], undefined)).toEqual([
    { phrase: 'it answers', reason: error.message, blind: true },
    expect.not.objectContaining({ blind: true }),
  ]);
});
