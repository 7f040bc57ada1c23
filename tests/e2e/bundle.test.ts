import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Ran } from '../../lib/host/run.ts';
import { inside } from '../../lib/vm/guest.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, succeeded, until } from './lib.ts';

const name = 'e2e-bundle';
const home = '/home/learner';
const clone = `${home}/hardway`;
const file = `${home}/lab.bundle`;
const cache = '/srv/cache';

let vm: Vm;
beforeAll(async () => {
  vm = await freshVm(name);
  await sh(
    vm,
    `useradd --create-home --shell /bin/bash learner; useradd mallory
     echo 'learner ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/learner
     mkdir ${clone}; cd ${inside.project}
     tar -c --exclude=./node_modules --exclude=./.git . | tar -x -C ${clone}
     chown -R learner: ${clone}`,
  );
  succeeded(await hardway(vm, ['bundle', 'create', '--cni', 'bridge', file]));
  await sh(vm, `chown learner: ${file}`);
});
afterAll(() => dropVm(name));

/** A command of a person who has a checkout and sudo, and neither Node, nor npm packages, nor programs, nor a network. */
const asPerson = (...args: readonly string[]): Promise<Ran> =>
  execInVm(vm, [`${clone}/bin/hardway`, ...args], { user: 'learner', env: { HARDWAY_CACHE: cache } });
const upFrom = (from: string): Promise<Ran> => asPerson('up', '--source', 'bundle', '--from', from);

/** A bundle with nothing in it but these members, whose list is right. */
const small = (path: string, ...members: readonly string[]): Promise<string> =>
  sh(
    vm,
    `mkdir /srv/small; cd /srv/small; echo x | tee ${members.join(' ')} >bundle.json
     sha256sum bundle.json ${members.join(' ')} >SHA256SUMS
     tar -cf ${path} SHA256SUMS bundle.json ${members.join(' ')}; chmod 644 ${path}; rm -r /srv/small`,
  );

describe('without Node refuses, before anything is written,', () => {
  test.for([
    ['a torn one', `head -c 100000000 ${file} >/srv/bad`, 'torn'],
    [
      'an altered one',
      `cp ${file} /srv/bad; printf x | dd of=/srv/bad bs=1 seek=200000000 conv=notrunc status=none`,
      'altered',
    ],
    ['one that others may change', `touch /srv/bad; chown mallory /srv/bad`, 'others than root and you may change it'],
    ['none at all', ':', 'there is no bundle at /srv/bad'],
  ])('%s', async ([, make = '', words = '']) => {
    await sh(vm, make);
    const ran = await upFrom('/srv/bad');
    expect(ran.stderr).toContain(words);
    expect(ran.stderr.trim().split('\n')).toHaveLength(2);
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    await sh(vm, 'rm -f /srv/bad');
    expect(await sh(vm, `ls -d ${cache}/* ${clone}/node_modules ${home}/.cache/hardway/node/* 2>/dev/null || :`)).toBe(
      '',
    );
  });

  test.for([
    ['one for another architecture', ['node-v24.14.0-s390x.tar.gz'], 'it is not for a'],
    [
      'one of another version',
      ['node-v24.14.0-amd64.tar.gz', 'node-v24.14.0-arm64.tar.gz'],
      'another version of hardway',
    ],
  ] as const)('%s', async ([, members, words]) => {
    await small('/srv/bad', ...members);
    const ran = await upFrom('/srv/bad');
    expect(ran.stderr).toContain(words);
    expect(ran.stderr).toContain('hardway bundle create');
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    await sh(vm, 'rm -f /srv/bad');
    expect(await sh(vm, `ls -d ${cache}/* ${clone}/node_modules 2>/dev/null || :`)).toBe('');
  });
});

test('a person without Node and without a network gets the cluster from a bundle', async () => {
  const ran = succeeded(await upFrom(file));
  expect(ran.stdout).toContain('The cluster is up');
  const nodes = succeeded(await execInVm(vm, ['kubectl', 'get', 'nodes', '--no-headers'], { user: 'learner' }));
  expect(nodes.stdout).toMatch(/^kubernetes\s+Ready\s/);
  expect(await sh(vm, `find ${cache}/bin -samefile /usr/local/bin/kubectl`)).toMatch(/\/kubectl$/);
});

test('says what is in it', async () => {
  const { stdout } = succeeded(await asPerson('bundle', 'inspect', '--json', file));
  const { arch, cni, parts } = JSON.parse(stdout);
  expect({ arch: typeof arch, cni }).toEqual({ arch: 'string', cni: 'bridge' });
  expect(parts.map(({ of }: { of: string }) => of)).toEqual(
    expect.arrayContaining(['node', 'npm packages', 'etcd', 'runc']),
  );
});

test('serves it to a machine without Node, by the line that it prints', async () => {
  succeeded(await asPerson('reset', '--yes'));
  const serving = [
    'systemd-run',
    '--unit=serving',
    '--uid=learner',
    `--setenv=HARDWAY_CACHE=${cache}`,
    '--setenv=HOME=/tmp',
  ];
  succeeded(await execInVm(vm, [...serving, `${clone}/bin/hardway`, 'bundle', 'serve', '--port', '8081', file]));
  await until(vm, 'journalctl -u serving -o cat | grep -q Ctrl-C');
  const line = await sh(vm, "journalctl -u serving -o cat | sed -n 's/.*--source //p' | head -1");
  expect(line).toMatch(/^http:\/\/10\.240\.0\.10:8081\/[0-9a-f]{16}$/);
  await sh(vm, `rm -rf /srv/other ${home}/other; cp -a ${clone} ${home}/other; rm -r ${home}/other/node_modules`);
  const other = await execInVm(
    vm,
    [`${home}/other/bin/hardway`, 'up', '--source', line, '--to', 'kubeconfigs', '--cni', 'bridge'],
    { user: 'learner', env: { HARDWAY_CACHE: '/srv/other' } },
  );
  succeeded(other);
  expect(other.stderr).toContain('from the bundle');
  await sh(vm, 'systemctl stop serving');
  expect(await sh(vm, 'find /srv/other/bin -name etcd -size +1M | wc -l')).toBe('1');
});
