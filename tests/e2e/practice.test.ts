import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exercises } from '../../exercises/index.ts';
import type { Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, succeeded, until, up } from './lib.ts';

const name = 'e2e-practice';
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
});
afterAll(() => dropVm(name));

/** `bin/test practice` takes every exercise, the whole suite one. */
const chosen = exercises.filter(({ id }) => process.env['HARDWAY_PRACTICE'] || id === 'two-networks');

const practice = (...args: readonly string[]) => hardway(vm, ['practice', ...args]);

/** The files of the lab that an exercise may have touched, with their modes and checksums, and the ledger. */
const files = (): Promise<string> =>
  sh(
    vm,
    "find /etc/systemd/system /etc/cni /var/lib/hardway/certs /var/lib/hardway/kubeconfigs /var/lib/hardway/config /var/lib/hardway/practice \\( -type f -o -type l \\) -printf '%p %m %U %G ' -exec sha256sum {} + 2>/dev/null | sort; cat /var/lib/hardway/ledger.jsonl | grep -c exercise || :",
  );

test('without a lab, or with one that is not whole, no exercise starts', async () => {
  const none = await practice('start', 'pending');
  expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no lab on this machine') });
  succeeded(await up(vm, '--to', 'certificates'));
  const short = await practice('start', 'pending');
  expect(short).toMatchObject({ code: 2, stderr: expect.stringContaining('the lab is not whole') });
  succeeded(await up(vm));
});

test('an exercise that there is not is refused with the nearest one', async () => {
  const ran = await practice('start', 'pendign');
  expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean pending?') });
  expect((await practice('check')).stderr).toContain('no exercise runs');
});

describe.each(chosen)('the exercise $id', ({ id, ticket, solution }) => {
  let before: string;

  test('starts with its ticket, and is not solved', async () => {
    before = await files();
    expect(succeeded(await practice('start', id)).stdout).toContain(ticket.en);
    expect(succeeded(await practice('task', '--lang', 'fr')).stdout).toContain(ticket.fr);
    const ran = await practice('check');
    expect(ran.code, ran.stdout).toBe(1);
    expect(ran.stdout).toMatch(/^✗ /m);
    expect(ran.stdout).toContain('✓ no other file of the lab was changed');
  });

  test('keeps up, check and status from repairing it or naming it, and another one from starting', async () => {
    for (const args of [['up'], ['check'], ['status'], ['practice', 'start', id]])
      expect(await hardway(vm, args)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`exercise ${id} runs`),
      });
  });

  test('gives three hints', async () => {
    const told = [];
    for (const count of [1, 2, 3]) {
      const { stdout } = succeeded(await practice('hint'));
      expect(stdout).toContain(`${count}/3`);
      told.push(stdout);
    }
    expect(new Set(told).size).toBe(3);
  });

  test('is solved by its solution, and not where something else was changed', async () => {
    for (const command of solution) await sh(vm, command);
    await sh(
      vm,
      `n=0; until hardway practice check >/tmp/out 2>&1; do n=$((n+1)); [ $n -lt 10 ] || { cat /tmp/out >&2; exit 1; }; done`,
    );
    await sh(
      vm,
      'cp -p /var/lib/hardway/kubeconfigs/admin.conf /tmp/kept; echo >>/var/lib/hardway/kubeconfigs/admin.conf',
    );
    const harmed = await practice('check');
    expect(harmed.code).toBe(1);
    expect(harmed.stdout).toContain('changed: /var/lib/hardway/kubeconfigs/admin.conf');
    await sh(vm, 'cp -p /tmp/kept /var/lib/hardway/kubeconfigs/admin.conf');
    expect(succeeded(await practice('check')).stdout).toContain('Solved.');
  });

  test('leaves nothing when it is given up', async () => {
    succeeded(await practice('give-up'));
    expect(await files()).toBe(before);
    succeeded(await hardway(vm, ['check']));
  });
});

test('Ctrl-C while the fault is made takes it back, and leaves nothing', async () => {
  const before = await files();
  await sh(
    vm,
    `nohup setsid hardway practice start pending >/tmp/out 2>&1 & echo $! >/tmp/pid
     until [ -e /var/lib/hardway/practice ]; do sleep 0.05; done; kill -INT "$(cat /run/hardway.lock | cut -d' ' -f1)"
     while [ -e /run/hardway.lock ]; do sleep 0.1; done`,
  );
  await until(vm, 'grep -q "^next:" /tmp/out');
  expect(await sh(vm, 'cat /tmp/out')).toContain(
    'interrupted; the fault is taken back\nnext: hardway practice start pending',
  );
  expect(await files()).toBe(before);
  expect(await sh(vm, 'ls -d /var/lib/hardway/practice 2>/dev/null || echo gone')).toBe('gone');
});

test('what was solved is in the list', async () => {
  const rows = succeeded(await practice('--json'))
    .stdout.trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rows.map(({ id, done }) => [id, done])).toEqual(exercises.map((one) => [one.id, chosen.includes(one)]));
});

test('a reset takes back an exercise that runs, and finds the machine as it was', async () => {
  succeeded(await practice('start', 'pending'));
  const { stdout } = succeeded(await hardway(vm, ['reset', '--yes']));
  expect(stdout).toContain('the host is as it was before');
});
