import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { check, deferredCheck } from '../../lib/engine/check.ts';
import { flag } from '../../lib/engine/daemon.ts';
import { ApiError, Bug, Unhealthy, UserError } from '../../lib/engine/errors.ts';
import type { RunEvent } from '../../lib/engine/events.ts';
import { openLedger, readLedger } from '../../lib/engine/ledger.ts';
import { createRunner, fingerprint, type Run, readOnlyContext } from '../../lib/engine/runner.ts';
import { readState, type State } from '../../lib/engine/state.ts';
import { type LabStep, needsOf } from '../../lib/engine/step.ts';
import { paths } from '../../lib/host/paths.ts';
import { CommandFailed } from '../../lib/host/run.ts';
import { plainLab, scratchFolder } from '../fixtures.ts';

// The state file in a folder of this test's own, so that nothing on this machine is touched.
vi.mock('../../lib/host/paths.ts', async (original) => {
  const { mkdtempSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const all = await original<typeof import('../../lib/host/paths.ts')>();
  return { ...all, paths: { ...all.paths, state: `${mkdtempSync(`${tmpdir()}/hardway-test-`)}/state.json` } };
});

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let events: RunEvent[];
let did: string[];
beforeEach(async () => {
  scratch = await scratchFolder();
  events = [];
  did = [];
});
afterEach(async () => {
  await scratch.remove();
  await rm(paths.state, { force: true });
});
afterAll(() => rm(dirname(paths.state), { recursive: true }));

/** A step of this test's own: it writes a file, and is healthy when the file is there. */
const step = (id: string, more: Partial<LabStep> = {}): LabStep => ({
  id,
  title: id,
  apply: async ({ host }) => {
    did.push(id);
    await host.writeFile(`${scratch.path}/${id}`, id);
  },
  checks: [check('it is well', async () => {})],
  observations: [],
  ...more,
});
const sick = (reason: string) => [
  check('it is well', async () => {
    throw new Error(reason);
  }),
];
const daemon = {
  name: 'etcd',
  description: 'etcd',
  binary: '/opt/etcd',
  flags: [flag('name', 'lab 1')],
  after: [],
};

const running = { words: 'active (running)', restarts: 0, active: true, restarting: false };
const restarting = { words: 'ended: exit-code, exit code 255', restarts: 0, active: false, restarting: true };

const runOf = (more: Partial<Run> = {}) =>
  createRunner({
    lab: plainLab,
    steps: [],
    needs: needsOf([]),
    places: [],
    source: { kind: 'auto' },
    sequential: false,
    signal: new AbortController().signal,
    dryRun: false,
    deadline: 30,
    tell: (event) => events.push(event),
    ledger: openLedger(`${scratch.path}/ledger.jsonl`),
    owned: new Set(),
    supervisor: { status: async () => running, lastLog: async () => ['first line', 'last line'] },
    state: undefined,
    ...more,
  });

const states = () => events.flatMap((one) => (one.event === 'step' ? [`${one.step} ${one.state}`] : []));
const applied = async (...steps: readonly LabStep[]): Promise<State> => ({
  version: 1,
  lab: plainLab,
  steps: Object.fromEntries(
    await Promise.all(
      steps.map(async (one) => [one.id, { fingerprint: await fingerprint(one), at: '2026-01-01', seconds: 1 }]),
    ),
  ),
});

test('a run that has ended leaves no timer, which would keep the program from ending', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  const only = step('only');
  await runOf({ steps: [only] })(only);
  expect(timers()).toBeLessThanOrEqual(before); // one of the test runner may have ended meanwhile
});

describe('a step that was not applied yet', () => {
  test('is applied, waited for, recorded and told', async () => {
    await runOf()(step('one'));
    expect(did).toEqual(['one']);
    expect(states()).toEqual(['one started', 'one healthy']);
    expect(await readState(paths.state)).toEqual({
      version: 1,
      lab: plainLab,
      steps: {
        one: { fingerprint: await fingerprint(step('one')), at: expect.any(String), seconds: expect.any(Number) },
      },
    });
  });

  test('writes its changes to the ledger under its name', async () => {
    await runOf()(step('one'));
    expect(await readLedger(`${scratch.path}/ledger.jsonl`)).toMatchObject([
      { step: 'one', undo: { kind: 'remove', path: `${scratch.path}/one` } },
    ]);
    expect(events).toContainEqual({ event: 'change', step: 'one', what: `write ${scratch.path}/one` });
  });

  test('tells what it waits for', async () => {
    let looks = 0;
    const healthy = [
      check('it answers', async () => {
        looks += 1;
        if (looks < 3) throw new Error('refused');
      }),
    ];
    await runOf()(step('one', { checks: healthy }));
    expect(events).toContainEqual({ event: 'waiting', step: 'one', check: 'it answers', reason: 'refused' });
  });

  test('keeps what was recorded of the others', async () => {
    await runOf({ state: await applied(step('one')) })(step('two'));
    expect(Object.keys((await readState(paths.state))?.steps ?? {})).toEqual(['one', 'two']);
  });
});

describe('a step that was applied before', () => {
  test('is skipped when it is healthy and unchanged, and nothing is written', async () => {
    await runOf({ steps: [step('one')], state: await applied(step('one')) })(step('one'));
    expect(did).toEqual([]);
    expect(states()).toEqual(['one skipped']);
    expect(await readState(paths.state)).toBeUndefined();
  });

  test('is applied again when it is not healthy', async () => {
    let well = false;
    const healthy = [
      check('it is well', async () => {
        if (!well) throw new Error('dead');
      }),
    ];
    const one = step('one', {
      checks: healthy,
      apply: async () => {
        did.push('one');
        well = true;
      },
    });
    await runOf({ steps: [one], state: await applied(one) })(one);
    expect(did).toEqual(['one']);
    expect(states()).toEqual(['one started', 'one healthy']);
  });

  test.each<[string, Partial<LabStep>]>([
    ['its daemon is another', { daemon }],
    ['what it is made from is another', { inputs: () => 'another manifest' }],
  ])('is applied again when %s', async (_, more) => {
    await runOf({ state: await applied(step('one')) })(step('one', more));
    expect(did).toEqual(['one']);
  });

  test('is skipped when only that of the lab has changed which it is not made from; the lab is recorded', async () => {
    const lab = { ...plainLab, machine: { ...plainLab.machine, swap: true } };
    const steps = [step('one')];
    await runOf({ steps, state: await applied(...steps), lab })(step('one'));
    expect(states()).toEqual(['one skipped']);
    expect((await readState(paths.state))?.lab).toEqual(lab);
  });

  test('is skipped and not recorded anew where the lab has the same fields in another order', async () => {
    const { node, ...rest } = plainLab;
    const steps = [step('one')];
    await runOf({ steps, state: { ...(await applied(...steps)), lab: { ...rest, node } } })(step('one'));
    expect(await readState(paths.state)).toBeUndefined();
  });

  test('is applied again when an earlier one was, as what it rests on may be new', async () => {
    const steps = ['one', 'two', 'three'].map((id) => step(id));
    const run = runOf({ steps, state: await applied(step('one'), step('three')) });
    for (const one of steps) await run(one);
    expect(states()).toEqual(['one skipped', 'two started', 'two healthy', 'three started', 'three healthy']);
  });
});

describe('a run looks at steps that were applied before', () => {
  /** Three recorded steps; each look of one is noted, and passes when all three were begun. */
  const looked: string[] = [];
  const looking = (id: string, more: Partial<LabStep> = {}): LabStep =>
    step(id, { checks: [check('it is well', async () => void looked.push(id))], ...more });
  beforeEach(() => void looked.splice(0));
  const take = async (steps: readonly LabStep[], more: Partial<Run> = {}): Promise<void> => {
    const run = runOf({ steps, state: await applied(...steps), ...more });
    for (const one of steps) await run(one);
  };

  test('all at the same time', async () => {
    const all = Promise.withResolvers<void>();
    const meets = check('it is well', async () => {
      looked.push('one');
      if (looked.length === 3) all.resolve();
      await all.promise;
    });
    await take(['one', 'two', 'three'].map((id) => step(id, { checks: [meets] })));
    expect(states()).toEqual(['one skipped', 'two skipped', 'three skipped']);
  });

  test('in its turn where somebody watches, who may change something meanwhile', async () => {
    const afterwards = async ({ id }: LabStep): Promise<void> => void looked.push(`after ${id}`);
    await take([looking('one'), looking('two')], { sequential: true, afterwards });
    expect(looked).toEqual(['one', 'after one', 'two', 'after two']);
  });

  test('with the deferred checks last, and only of those before the first that is not healthy', async () => {
    const late = (id: string) => deferredCheck('it is current', async () => void looked.push(`late ${id}`));
    const steps = ['one', 'two', 'three'].map((id) => looking(id, { checks: [...looking(id).checks, late(id)] }));
    const broken = step('two', { checks: [...sick('down'), late('two')] });
    await take([steps[0] as LabStep, broken, steps[2] as LabStep], { deadline: 0 }).catch(() => {});
    expect(looked).toEqual(['one', 'three', 'late one']);
    expect(states()).toEqual(['one skipped', 'two started', 'two failed']);
  });

  test('and what they found out is found out anew once one is applied', async () => {
    let files = 'none';
    const client = check('it answers', async ({ memo }: Parameters<LabStep['apply']>[0]) => {
      if ((await memo('client', async () => files)) === 'none') throw new Error('no certificate');
    });
    const one = step('one', {
      checks: [check('it is there', async () => (files === 'none' ? Promise.reject(new Error('gone')) : undefined))],
      apply: async () => {
        files = 'made';
      },
    });
    await take([one, step('two', { checks: [client] })]);
    expect(states()).toEqual(['one started', 'one healthy', 'two started', 'two healthy']);
  });

  test('and is stopped by the person meanwhile', async () => {
    const abort = new AbortController();
    const waits = check('it is well', async () => {
      abort.abort(new Error('Ctrl-C'));
      await new Promise(() => {});
    });
    await expect(take([step('one', { checks: [waits] })], { signal: abort.signal })).rejects.toThrow('Ctrl-C');
    expect(did).toEqual([]);
  });
});

test('the fingerprint of a step follows its daemon and what else it is made from', async () => {
  const of = (value: string, inputs: unknown = 1) =>
    fingerprint(step('one', { daemon: { ...daemon, flags: [flag('name', value)] }, inputs: async () => inputs }));
  expect(await of('a')).toBe(await of('a'));
  expect(new Set([await of('a'), await of('b'), await of('a', 2)]).size).toBe(3);
});

describe('a step that fails', () => {
  test('while it is applied is told as failed and not recorded', async () => {
    const apply = async () => {
      throw new Error('the door is locked');
    };
    await expect(runOf()(step('one', { apply }))).rejects.toThrow('the door is locked');
    expect(states()).toEqual(['one started', 'one failed']);
    expect(await readState(paths.state)).toBeUndefined();
  });

  test.each([
    ['a failed command', new CommandFailed(['modprobe', 'x'], { stdout: '', stderr: 'no such module', code: 1 })],
    ['a refusing API server', new ApiError(503, 'etcd is away')],
    ['the file system', Object.assign(new Error('EROFS'), { code: 'EROFS', path: '/etc/x' })],
    ['a plain error', new Error('it is being deleted')],
  ])('over %s is Unhealthy, with the step, the reason, its log and what to type next', async (_, error) => {
    const apply = () => Promise.reject(error);
    await expect(runOf()(step('one', { apply, daemon }))).rejects.toMatchObject({
      name: 'Unhealthy',
      message: expect.stringMatching(/^one: .*(no such module|etcd is away|read-only|being deleted)/s),
      log: ['first line', 'last line'],
      next: 'hardway logs etcd, then hardway up',
    });
  });

  test.each([
    ['a UserError', new UserError('no Go here')],
    ['an Unhealthy of its own', new Unhealthy('the image cannot be had')],
    ['a Bug', new Bug('cannot be')],
    ['a mistake in the code', new TypeError('undefined is not a function')],
  ])('over %s throws just that', async (_, error) => {
    const apply = () => Promise.reject(error);
    await expect(runOf()(step('one', { apply }))).rejects.toBe(error);
  });

  test('over a full disk says how to find which', async () => {
    const apply = () => Promise.reject(new Error('write /x: no space left on device'));
    await expect(runOf()(step('one', { apply }))).rejects.toMatchObject({
      name: 'UserError',
      message: 'one: a disk is full: write /x: no space left on device',
    });
  });

  test('as it gives no sign of life is aborted, and the last sign is named', async () => {
    let heard: AbortSignal | undefined;
    const apply: LabStep['apply'] = async ({ progress, signal }) => {
      heard = signal;
      progress('downloading etcd: 3 MB');
      await once(signal, 'abort');
    };
    await expect(runOf()(step('one', { apply, stallLimit: 0.02 }))).rejects.toMatchObject({
      name: 'Unhealthy',
      message: 'one: nothing has happened for 0.02 s since "downloading etcd: 3 MB"',
    });
    expect(heard?.aborted).toBe(true);
  });

  test('is not given up while it gives signs of life, however long it takes', async () => {
    const apply: LabStep['apply'] = async ({ progress }) => {
      for (let at = 0; at < 10; at += 1) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        progress(`${at} MB`);
      }
    };
    await runOf()(step('one', { apply, stallLimit: 0.15 }));
    expect(states()).toEqual(['one started', 'one healthy']);
  });

  test('by its deadline is Unhealthy with the check, the last reason and what to type next', async () => {
    await expect(runOf({ deadline: 0 })(step('one', { checks: sick('refused') }))).rejects.toMatchObject({
      name: 'Unhealthy',
      message: 'one: "it is well" is not so after 0 s: refused',
      next: expect.stringContaining('hardway check one'),
    });
    expect(states()).toEqual(['one started', 'one failed']);
  });

  test('with a daemon shows its command as one would type it and its last log lines', async () => {
    const lastLog = vi.fn(async () => ['panic: no such file']);
    const run = runOf({ deadline: 0, supervisor: { status: async () => running, lastLog } });
    await expect(run(step('one', { daemon, checks: sick('refused') }))).rejects.toMatchObject({
      name: 'Unhealthy',
      message: expect.stringMatching(/refused\ncommand: \/opt\/etcd '--name=lab 1'$/),
      log: ['panic: no such file'],
      next: 'hardway logs etcd, then hardway up',
    });
    expect(lastLog).toHaveBeenCalledWith('etcd', expect.any(Number));
  });

  test('with a daemon whose log tells of a full disk says how to find it', async () => {
    const lastLog = async () => ['panic: write wal: no space left on device', 'goroutine 1'];
    const run = runOf({ deadline: 0, supervisor: { status: async () => running, lastLog } });
    await expect(run(step('one', { daemon, checks: sick('refused') }))).rejects.toMatchObject({
      next: expect.stringMatching(/^df -h .* shows which disk is full; make room there, then hardway up$/),
    });
  });

  test.each([
    ['is down', { ...restarting, restarting: false }],
    ['has ended twice since', { ...restarting, restarts: 1 }],
    ['was started again twice since', { ...running, restarts: 2 }],
  ])('is not waited for when its process %s', async (_, later) => {
    const status = vi.fn(async () => later).mockResolvedValueOnce(running);
    const run = runOf({ deadline: 3600, supervisor: { status, lastLog: async () => ['last words'] } });
    await expect(run(step('one', { daemon, checks: sick('refused') }))).rejects.toMatchObject({
      name: 'Unhealthy',
      message: expect.stringContaining(`one does not stay up: ${later.words}`),
      log: ['last words'],
    });
  });
});

test.each([
  ['ends', [running, restarting]],
  ['ends before its first look', [restarting]],
  ['was started again', [running, { ...running, restarts: 1 }]],
])('a process that %s once is waited for, because a slow machine may need a second start', async (_, statuses) => {
  let looks = 0;
  const status = vi.fn(async () => {
    looks += 1;
    return statuses[looks - 1] ?? { ...running, restarts: 1 };
  });
  const healthy = [
    check('it is well', async () => {
      if (looks < 4) throw new Error('not yet');
    }),
  ];
  await runOf({ supervisor: { status, lastLog: async () => [] } })(step('one', { daemon, checks: healthy }));
  expect(status).toHaveBeenCalledTimes(4);
  expect(states()).toEqual(['one started', 'one healthy']);
});

test('restarts from before this run are not taken for a death', async () => {
  let looks = 0;
  const healthy = [
    check('it is well', async () => {
      looks += 1;
      if (looks < 10) throw new Error('not yet');
    }),
  ];
  const status = async () => ({ ...running, restarts: 5 });
  await runOf({ supervisor: { status, lastLog: async () => [] } })(step('one', { daemon, checks: healthy }));
  expect(states()).toEqual(['one started', 'one healthy']);
});

test('an interrupted step throws the reason of the interruption, whatever it failed with', async () => {
  const abort = new AbortController();
  const apply: LabStep['apply'] = async () => {
    abort.abort(new Error('Ctrl-C'));
    throw new Error('killed by SIGTERM');
  };
  await expect(runOf({ signal: abort.signal })(step('one', { apply }))).rejects.toThrow('Ctrl-C');
});

test('an aborted run begins no further step', async () => {
  const signal = AbortSignal.abort(new Error('Ctrl-C'));
  await expect(runOf({ signal })(step('one'))).rejects.toThrow('Ctrl-C');
  expect([did, events]).toEqual([[], []]);
});

test('a dry run tells the changes of every step and makes and records none', async () => {
  const run = runOf({ dryRun: true });
  for (const id of ['one', 'two']) await run(step(id, { checks: sick('it is not there') }));
  expect(events.filter(({ event }) => event === 'change')).toHaveLength(2);
  expect(await readState(paths.state)).toBeUndefined();
  expect(await readLedger(`${scratch.path}/ledger.jsonl`)).toEqual([]);
  await expect(rm(`${scratch.path}/one`)).rejects.toThrow('ENOENT');
});

test('a dry run tells no story after a step, neither a new one nor one that is there', async () => {
  const afterwards = vi.fn(async () => {});
  const steps = [step('one'), step('two')];
  const run = runOf({ steps, dryRun: true, afterwards, state: await applied(step('one')) });
  for (const one of steps) await run(one);
  expect(states()).toContain('one skipped');
  expect(afterwards).not.toHaveBeenCalled();
});

describe('what one step begins and a later one waits for', () => {
  test('is done once a run', async () => {
    const run = runOf();
    const load = vi.fn(async () => 'images');
    const got: string[] = [];
    const apply: LabStep['apply'] = async ({ memo: once }) => {
      got.push(await once('images', load));
    };
    await run(step('one', { apply }));
    await run(step('two', { apply }));
    expect(got).toEqual(['images', 'images']);
    expect(load).toHaveBeenCalledOnce();
  });

  test('fails where it is waited for and not where it was begun', async () => {
    const run = runOf();
    const load = () => Promise.reject(new Error('registry is gone'));
    const begin: LabStep['apply'] = async ({ memo: once }) => {
      void once('images', load);
    };
    await run(step('one', { apply: begin }));
    const wait: LabStep['apply'] = ({ memo: once }) => once('images', load);
    await expect(run(step('two', { apply: wait }))).rejects.toThrow('registry is gone');
  });
});

describe('what a step prepares', () => {
  const prepare = vi.fn();
  beforeEach(() => void prepare.mockClear());

  test('is begun with the run, before the turn of the step', () => {
    runOf({ steps: [step('one'), step('two', { prepare })] });
    expect(prepare).toHaveBeenCalledOnce();
  });

  test.each<[string, Partial<Run>]>([
    [
      'the step was applied before',
      { state: { version: 1, lab: plainLab, steps: { two: { fingerprint: '', at: '', seconds: 1 } } } },
    ],
    ['nothing is to change', { dryRun: true }],
    ['somebody watches', { sequential: true }],
  ])('is not begun where %s', (_, more) => {
    runOf({ steps: [step('one'), step('two', { prepare })], ...more });
    expect(prepare).not.toHaveBeenCalled();
  });
});

describe('a step that rests on one other only', () => {
  const three = (): readonly LabStep[] => [step('one'), step('two'), step('three', { startAfter: 'one' })];
  const takeAll = async (steps: readonly LabStep[], more: Partial<Run> = {}): Promise<void> => {
    const run = runOf({ steps, ...more });
    for (const one of steps) await run(one);
  };

  test('begins as soon as that is healthy, is told in its turn, and is applied once', async () => {
    await takeAll(three());
    expect(did).toEqual(['one', 'three', 'two']);
    expect(states()).toEqual([
      ...['one started', 'one healthy', 'two started', 'two healthy', 'three started', 'three healthy'],
    ]);
  });

  test('is silent until its turn, and then says what it is at', async () => {
    const apply: LabStep['apply'] = async ({ progress }) => {
      progress('importing 1 of 2');
      progress('importing 2 of 2');
    };
    await takeAll([step('one'), step('two'), step('three', { startAfter: 'one', apply })]);
    const told = events.map((one) => (one.event === 'progress' ? one.text : one.event === 'step' ? one.state : ''));
    expect(told.slice(-3)).toEqual(['started', 'importing 2 of 2', 'healthy']);
    expect(told.filter((one) => one === 'importing 1 of 2')).toEqual([]);
  });

  test('keeps its own name in the ledger meanwhile', async () => {
    await takeAll(three());
    const entries = await readLedger(`${scratch.path}/ledger.jsonl`);
    expect(entries.map(({ step: id, undo }) => 'path' in undo && undo.path.endsWith(`/${id}`))).toEqual([
      true,
      true,
      true,
    ]);
  });

  test.each<[string, () => Promise<Partial<Run>>]>([
    ['somebody watches', async () => ({ sequential: true })],
    ['it was applied before', async () => ({ state: await applied(...three()) })],
  ])('waits for its turn where %s', async (_, more) => {
    const unwell = step('two', { checks: sick('down') });
    const steps = [step('one'), unwell, step('three', { startAfter: 'one' })];
    await expect(takeAll(steps, { deadline: 0, ...(await more()) })).rejects.toThrow('down');
    expect(did).not.toContain('three');
  });

  test('fails in its turn, and the steps before it are healthy', async () => {
    const apply = () => Promise.reject(new Error('no runc'));
    await expect(takeAll([step('one'), step('two'), step('three', { startAfter: 'one', apply })])).rejects.toThrow(
      'no runc',
    );
    expect(states().slice(-2)).toEqual(['three started', 'three failed']);
  });

  test('is aborted when a run fails before its turn, and has ended when the run has', async () => {
    let ended = false;
    const apply: LabStep['apply'] = async ({ signal }) => {
      await once(signal, 'abort');
      await new Promise((resolve) => setTimeout(resolve, 20)); // it cleans up
      ended = true;
    };
    const steps = [step('one'), step('two', { checks: sick('down') }), step('three', { startAfter: 'one', apply })];
    await expect(takeAll(steps, { deadline: 0 })).rejects.toThrow('down');
    expect(ended).toBe(true);
  });
});

test.each([
  ['fails', sick('down')],
  ['has taken its last step', [check('it is well', async () => {})]],
])('what a step has begun for later ones is aborted when the run %s', async (_, checks) => {
  let ended = false;
  const apply: LabStep['apply'] = async ({ memo, signal }) => {
    void memo('images', async () => {
      await once(signal, 'abort');
      ended = true;
    });
  };
  const one = step('one', { apply, checks });
  await Promise.allSettled([runOf({ steps: [one], deadline: 0 })(one)]);
  expect(ended).toBe(true);
});

describe('a late check', () => {
  const slow = (until: () => boolean): LabStep =>
    step('one', {
      checks: [
        check('it is well', async () => {}),
        deferredCheck('its helper is well', async () => {
          if (!until()) throw new Error('not yet');
        }),
      ],
    });

  test('keeps no step from beginning, and is waited for with the last one', async () => {
    const steps = [slow(() => did.includes('two')), step('two')];
    const run = runOf({ steps });
    for (const one of steps) await run(one);
    expect(states()).toEqual(['one started', 'one healthy', 'two started', 'two healthy']);
  });

  test('says what it waits for when the last step is healthy, and not while that has its turn', async () => {
    const steps = [slow(() => states().includes('two healthy')), step('two')];
    const run = runOf({ steps });
    for (const one of steps) await run(one);
    const told = events.map((one) => (one.event === 'step' ? `${one.step} ${one.state}` : one.event));
    expect(told.filter((one) => one !== 'change').slice(2)).toEqual(['two started', 'two healthy', 'waiting']);
  });

  test('that never passes fails the run in the name of its step', async () => {
    const steps = [slow(() => false), step('two')];
    const run = runOf({ steps, deadline: 0 });
    await run(slow(() => false));
    await expect(run(step('two'))).rejects.toThrow('one: "its helper is well" is not so after 0 s: not yet');
    expect(states()).toEqual(['one started', 'one healthy', 'two started', 'two healthy', 'one failed']);
  });

  test('is waited for at once where somebody watches', async () => {
    const run = runOf({ steps: [slow(() => false), step('two')], deadline: 0, sequential: true });
    await expect(run(slow(() => false))).rejects.toThrow('its helper is well');
  });
});

describe('the rest of a step', () => {
  /** A step whose work goes on until it is let go. */
  const long = () => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    return { one: step('one', { finish: () => promise }), resolve, reject };
  };

  test('goes on while the next steps are taken, and the run waits for it with the last one', async () => {
    const { one, resolve } = long();
    const steps = [one, step('two', { checks: [check('it is well', async () => resolve())] })];
    const run = runOf({ steps });
    for (const each of steps) await run(each);
    expect(states()).toEqual(['one started', 'one healthy', 'two started', 'two healthy']);
  });

  test('that fails fails the run in the name of its step', async () => {
    const { one, reject } = long();
    const two = step('two');
    const run = runOf({ steps: [one, two] });
    await run(one);
    reject(new Error('the site is gone'));
    await expect(run(two)).rejects.toThrow('one: the site is gone');
    expect(states().at(-1)).toBe('one failed');
  });

  test('is waited for at once where somebody watches', async () => {
    const one = step('one', { finish: () => Promise.reject(new Error('the site is gone')) });
    const run = runOf({ steps: [one, step('two')], sequential: true });
    await expect(run(one)).rejects.toThrow('the site is gone');
  });

  test('is waited for beside the checks where somebody watches: one that waits for the component ends with it', async () => {
    const dead = step('one', {
      finish: ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      checks: [check('it is well', async () => Promise.reject(new Error('it has ended')))],
    });
    const run = runOf({ steps: [dead, step('two')], sequential: true, deadline: 0 });
    await expect(run(dead)).rejects.toThrow('"it is well" is not so after 0 s: it has ended');
  });

  test('keeps a step that needs something of it from beginning, and no other one', async () => {
    const { one, resolve } = long();
    const steps = [one, step('two'), step('three')];
    let waited = false;
    const ready: Run['ready'] = async ({ id }) => {
      if (id !== 'three') return;
      expect(did).toEqual(['one', 'two']);
      waited = true;
      resolve();
    };
    const run = runOf({ steps, ready });
    for (const each of steps) await run(each);
    expect([waited, did]).toEqual([true, ['one', 'two', 'three']]);
  });
});

test('needs come in the order in which steps may begin: an early one right after what it depends on', () => {
  const needing = (id: string, more: Partial<LabStep> = {}) => step(id, { needs: { programs: [id] }, ...more });
  const steps = [needing('one'), needing('two'), needing('three', { startAfter: 'one' }), needing('four')];
  expect(needsOf(steps).programs).toEqual(['one', 'three', 'two', 'four']);
  expect(needsOf([needing('three', { startAfter: 'one' })]).programs).toEqual(['three']);
});

test('a view of the lab can change nothing', async () => {
  await readOnlyContext(plainLab, []).host.writeFile(`${scratch.path}/x`, 'x');
  await expect(rm(`${scratch.path}/x`)).rejects.toThrow('ENOENT');
});
