import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Ran } from '../../lib/host/run.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, succeeded, up } from './lib.ts';

const name = 'e2e-failures';
const root = '/var/lib/hardway';
const noBug = /\bbug\b|\n {4}at /;
let vm: Vm;

beforeAll(async () => {
  vm = await freshVm(name);
});
afterAll(() => dropVm(name));

const upTo = ['up', '--cni', 'bridge', '--to', 'certificates'] as const;

/** A script of a person; hardway gets twenty seconds, so that one that waits for nothing is a failed test. */
const typed = (script: string): Promise<Ran> => execInVm(vm, ['sh', '-c', script], { timeout: 20_000 });

/** Expects an exit code, these words and a next command, without a stack. */
const mustSay = (ran: Ran, code: number, ...words: readonly string[]): void => {
  const text = `${ran.stdout}\n${ran.stderr}`;
  expect(ran.code, text).toBe(code);
  for (const word of words) expect(text).toContain(word);
  expect(text).toMatch(/next: /);
  expect(text).not.toMatch(noBug);
};

describe('files of the lab that are not as hardway wrote them', () => {
  beforeAll(async () => {
    succeeded(await hardway(vm, upTo));
    await sh(vm, `cp -a ${root} /var/saved`);
  });
  afterEach(() => sh(vm, `chattr -i ${root}/* 2>/dev/null || :; rm -rf ${root}; cp -a /var/saved ${root}`));

  test.for([
    ['{"version":1}', `printf '{"version":1}' >F`, 'has no fields'],
    ['a lab of nothing', `printf '{"version":1,"lab":null,"steps":[]}' >F`, 'lab has no fields'],
    ['a folder', 'mkdir F', 'is a folder'],
    ['a FIFO', 'mkfifo F', 'is a FIFO'],
    ['a file of gigabytes', 'truncate -s 3G F', 'more than 1 MB'],
    ['a link to itself', 'ln -s F F', 'a link that leads to itself'],
  ] as const)('a state that is %s stops the commands that need it, not a reset', async ([, make, words]) => {
    const file = `${root}/state.json`;
    await sh(vm, `rm ${file}; ${make.replaceAll('F', file)}`);
    for (const args of [['status'], upTo]) mustSay(await hardway(vm, args), 2, `${file} cannot be read`, words);
    succeeded(await hardway(vm, ['reset', '--to', 'preflight', '--yes']));
  });

  test('lines of the ledger that are none are named, and the others are undone', async () => {
    await sh(vm, `printf 'null\\n{}\\nwords\\n{"at":"x","step":"x","do":{"kind":"run"}}\\n' >>${root}/ledger.jsonl`);
    const ran = succeeded(await hardway(vm, ['reset', '--to', 'preflight', '--yes']));
    expect(ran.stdout.match(/kept: line \d+ of .*ledger.jsonl is no change of hardway/g)).toHaveLength(4);
    expect(await sh(vm, `ls ${root}/certs 2>/dev/null || echo gone`)).toBe('gone');
  });

  test('a ledger that is a FIFO is refused, with the way out', async () => {
    await sh(vm, `rm ${root}/ledger.jsonl; mkfifo ${root}/ledger.jsonl`);
    for (const args of [upTo, ['reset', '--yes']])
      mustSay(await hardway(vm, args), 2, 'ledger.jsonl is a FIFO', 'move it away');
  });

  test('a snapshot that cannot be read is said, and nothing is compared with it', async () => {
    await sh(vm, `echo '{"version":1}' >${root}/picture.json`);
    const ran = succeeded(await hardway(vm, ['reset', '--yes']));
    expect(ran.stdout).toContain('picture.json cannot be read, so the machine is compared with nothing');
  });
});

test.for([
  ['a folder', 'mkdir'],
  ['a FIFO', 'mkfifo'],
  ['a link', 'ln -s /nowhere'],
] as const)('%s in the place of the lock is refused and left alone', async ([what, make]) => {
  await sh(vm, `${make} /run/hardway.lock`);
  mustSay(await hardway(vm, upTo), 2, `/run/hardway.lock, the lock of hardway, is ${what}`);
  await sh(vm, 'rm -r /run/hardway.lock');
});

describe('what surrounds a command', () => {
  beforeAll(async () => {
    succeeded(await hardway(vm, upTo));
  });

  test('a current folder that was removed is no fault', async () => {
    for (const command of [upTo.join(' '), 'check', 'kubectl -- version --client']) {
      succeeded(await typed(`mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone; hardway ${command}`));
    }
    succeeded(await typed(`cd ${root}/certs; hardway reset --yes && hardway ${upTo.join(' ')}`));
  });

  test('an output that is full is said', async () => {
    const ran = await typed('hardway check >/dev/full');
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining('its output cannot be written') });
    expect((await typed('hardway check 2>/dev/full')).code).toBe(0);
  });

  test('options of Node that are none of ours are left out', async () => {
    succeeded(await typed('NODE_OPTIONS=--nonsense hardway check'));
  });

  test('a terminal that does not know its size gets plain lines', async () => {
    const ran = await typed(`script -qec 'stty cols 0 rows 0; hardway ${upTo.join(' ')}' /dev/null`);
    expect(ran.stdout).toMatch(/certificates +skipped/);
  });

  test('what could not be looked at is no FAIL', async () => {
    const ran = await typed('ulimit -n 40; hardway check; hardway check --json');
    expect(ran.code, ran.stdout).toBe(1);
    expect(ran.stdout).toMatch(/^\?\? .*\n +could not be looked at: /m);
    expect(ran.stdout).not.toMatch(/^FAIL/m);
    expect(ran.stdout).toMatch(/"ok":false.*"looked":false/);
  });

  test('a number of lines that is none is refused', async () => {
    mustSay(await hardway(vm, ['logs', 'etcd', '-n', 'abc']), 2, '-n abc is not a number');
  });
});

describe('places that cannot be written to', () => {
  test.for([
    ['/usr/local', '/usr/local/bin'],
    ['/etc', '/etc/'],
    ['/var/lib', '/var/lib/hardway'],
    ['/run', '/run/hardway.lock'],
  ] as const)('%s, mounted read-only, is named', async ([folder, path]) => {
    succeeded(await hardway(vm, ['reset', '--yes']));
    const ran = await typed(
      `unshare --mount sh -c 'mount --bind ${folder} ${folder}; mount -o remount,bind,ro ${folder}; hardway ${upTo.join(' ')}'`,
    );
    expect([1, 2]).toContain(ran.code);
    mustSay(ran, ran.code, path, 'read-only');
  });
});

describe('a whole lab', () => {
  beforeAll(async () => {
    succeeded(await hardway(vm, ['reset', '--yes']));
    const proxy = 'http://10.240.0.77:3128';
    await sh(
      vm,
      `mkdir -p /etc/systemd/system.conf.d; printf '[Manager]\\nDefaultEnvironment=HTTP_PROXY=${proxy} HTTPS_PROXY=${proxy}\\n' >/etc/systemd/system.conf.d/proxy.conf; systemctl daemon-reexec`,
    );
  });

  test('whose unit cannot be started says so with the words of systemd and the lines of its log', async () => {
    const folder = '/run/systemd/system/service.d';
    const dropIn = `[Service]\\nExecStartPre=/bin/sh -c "echo not today; exit 1"\\n`;
    await sh(vm, `mkdir ${folder}; printf '${dropIn}' >${folder}/x.conf; systemctl daemon-reload`);
    const ran = await up(vm, '--to', 'etcd');
    await sh(vm, `rm -r ${folder}; systemctl daemon-reload`);
    mustSay(ran, 1, 'etcd', 'systemctl enable --no-reload --now etcd.service', 'not today', 'hardway logs etcd');
  });

  test('is brought up where the service manager has a proxy', async () => {
    succeeded(await up(vm));
    const environment = (unit: string): Promise<string> =>
      sh(vm, `tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value ${unit})/environ`);
    expect(await environment('kube-apiserver')).not.toContain('PROXY');
    expect(await environment('containerd')).toContain('HTTPS_PROXY=');
  });

  test('is not seen through the settings of another containerd', async () => {
    succeeded(await hardway(vm, ['check'], { env: { CRI_CONFIG_FILE: '/nowhere', KUBECONFIG: '/nowhere' } }));
  });

  test('loses its Pods also where the environment names another containerd', async () => {
    const again = await hardway(vm, ['reset', '--to', 'kubelet', '--yes'], { env: { CRI_CONFIG_FILE: '/nowhere' } });
    succeeded(again);
    expect(await sh(vm, `${root}/bin/crictl pods --quiet | wc -l`)).toBe('0');
  });

  test('whose Pods cannot be listed says so, and a reset of it is not done', async () => {
    succeeded(await up(vm));
    await sh(vm, `mv ${root}/bin/crictl ${root}/bin/crictl-away; ln -s /bin/false ${root}/bin/crictl`);
    const ran = await hardway(vm, ['reset', '--to', 'kubelet', '--yes']);
    mustSay(ran, 1, 'NOT DONE: Pods removed: containerd does not list its Pods');
    await sh(vm, `mv ${root}/bin/crictl-away ${root}/bin/crictl`);
  });
});
