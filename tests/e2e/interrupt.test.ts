import { afterEach, describe, expect, test } from 'vitest';
import type { Vm } from '../../lib/vm/vm.ts';
import { type RunEvent, runEvents, stepIds, story } from './events.ts';
import { dropVm, type Ended, freshVm, hardway, sh, succeeded, up, upWatched } from './lib.ts';

const name = 'e2e-interrupt';
afterEach(() => dropVm(name));

type Moment = RunEvent['event'];

/** Where to strike: in the middle of a step, at its start, at a change of its own or while it is waited for. */
const moments: readonly (readonly [(typeof stepIds)[number], Moment])[] = [
  ['certificates', 'change'],
  ['etcd', 'step'],
  ['kube-apiserver', 'waiting'],
  ['containerd', 'step'],
  ['kubelet', 'waiting'],
  ['coredns', 'step'],
  ['smoke', 'progress'],
];

/** Runs up and strikes once, at the first such event of the step. */
const struck = (vm: Vm, [step, moment]: (typeof moments)[number], how: 'Ctrl-C' | 'kill -9'): Promise<Ended> => {
  let done = false;
  return upWatched(vm, async (event, run) => {
    if (done || event.event !== moment || !('step' in event) || event.step !== step) return;
    done = true;
    if (how === 'Ctrl-C') run.typeCtrlC();
    else await run.kill();
  });
};

const appliedSteps = async (vm: Vm): Promise<string[]> => {
  const { stdout } = await hardway(vm, ['steps', '--json']);
  const rows = stdout.split('\n').map((line) => JSON.parse(line) as { step: string; appliedAt: string | null });
  return rows.filter(({ appliedAt }) => appliedAt !== null).map(({ step }) => step);
};

/** After each blow the next up goes on from the step that was struck: what is before it is left alone. */
const chain = async (
  vm: Vm,
  how: 'Ctrl-C' | 'kill -9',
  after: (ended: Ended) => Promise<void> | void,
): Promise<void> => {
  for (const moment of moments) {
    const at = stepIds.indexOf(moment[0]);
    const ended = await struck(vm, moment, how);
    expect(ended.events, `${how} in ${moment[0]}`).toContainEqual(
      expect.objectContaining({ event: 'step', step: moment[0], state: 'started' }),
    );
    // On a machine with much to do the blow may fall a step later.
    const applied = await appliedSteps(vm);
    expect(applied).toEqual(stepIds.slice(0, applied.length));
    expect(applied.length).toBeGreaterThanOrEqual(at);
    await after(ended);
  }
  const last = await up(vm, '--json');
  succeeded(last);
  expect(last.stderr).toBe('');
  expect(story(runEvents(last.stdout)).slice(-2)).toEqual(['smoke started', 'smoke healthy']);
  succeeded(await hardway(vm, ['check']));
  expect(story(runEvents((await up(vm, '--json')).stdout))).toEqual(stepIds.map((step) => `${step} skipped`));
};

describe('a run that is ended in the middle', () => {
  test('by Ctrl-C, in one step after the other, says so, ends with 130 and is completed by the next', async () => {
    const vm = await freshVm(name);
    await chain(vm, 'Ctrl-C', async ({ code, text, events }) => {
      expect(code).toBe(130);
      expect(text).toContain('interrupted');
      expect(text).toContain('next: hardway up');
      expect(text).not.toContain('bug');
      expect(events.at(-1)).toMatchObject({ event: 'done', ok: false });
      expect(await sh(vm, 'ls /run/hardway.lock* 2>/dev/null || :')).toBe('');
    });
  });

  test('by kill -9, in one step after the other, leaves a lock that the next takes over, and is completed by it', async () => {
    const vm = await freshVm(name);
    await chain(vm, 'kill -9', async ({ code }) => {
      expect(code).toBe(137);
      expect(await sh(vm, 'cut -d" " -f1 /run/hardway.lock | xargs ps -p || echo gone')).toContain('gone');
    });
    expect(await sh(vm, 'find /var/lib/hardway /etc -name "*.hardway-*"')).toBe('');
  });
});

describe('two at once', () => {
  test('the second is refused with the pid of the first, which comes to its end', async () => {
    const vm = await freshVm(name);
    let second: Awaited<ReturnType<typeof up>> | undefined;
    let holder = '';
    const first = await upWatched(vm, async (event) => {
      if (event.event !== 'step' || event.step !== 'kube-apiserver' || event.state !== 'started') return;
      holder = await sh(vm, 'cut -d" " -f1 /run/hardway.lock');
      second = await up(vm);
    });
    expect(second?.code).toBe(2);
    expect(second?.stderr).toContain(`pid ${holder}`);
    expect(second?.stderr).toContain('next:');
    expect(first.code).toBe(0);
  });
});
