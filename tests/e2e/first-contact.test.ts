import { afterAll, beforeAll, expect, test } from 'vitest';
import { inside } from '../../lib/vm/guest.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, sh, succeeded, until } from './lib.ts';

const name = 'e2e-first-contact';
const home = '/home/learner';
const clone = `${home}/hardway`;
const cache = '/srv/cache';
const node = `${inside.cache}/node/node_modules/node/bin/node`;
const sites = `${node} --disable-warning=ExperimentalWarning ${inside.project}/tests/e2e/sites.ts`;

let vm: Vm;
beforeAll(async () => {
  vm = await freshVm(name);
  await sh(
    vm,
    `useradd --create-home --shell /bin/bash learner
     echo 'learner ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/learner
     cp -a ${inside.project} ${clone}
     ${sites} prepare ${clone}
     touch ${clone}/node_modules/.package-lock.json
     chown -R learner: ${clone}`,
  );
  succeeded(
    await execInVm(vm, ['systemd-run', '--unit=sites', '--description=the sites', 'sh', '-c', `exec ${sites} serve`]),
  );
  await until(vm, 'ss -Hltn sport = :443 | grep -q .');
});
afterAll(() => dropVm(name));

/** `hardway up` as a person types it who has nothing but a checkout and sudo, on a machine with a careful umask. */
const upAsPerson = () =>
  execInVm(vm, ['sh', '-c', `umask 077; exec ${clone}/bin/hardway up --cni bridge`], {
    user: 'learner',
    env: { HARDWAY_CACHE: cache },
  });

/** What was asked of the sites: method, address, first byte, bytes that were sent. */
const asked = async () =>
  (await sh(vm, 'cat /srv/sites/log'))
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' '))
    .map(([method = '', path = '', from, sent]) => ({ method, path, from: Number(from), sent: Number(sent) }));

test('a person with a checkout and sudo gets the cluster from the release sites, also after Ctrl-C in the middle', async () => {
  await sh(vm, 'echo 4000000 >/srv/sites/slow');
  const first = upAsPerson();
  const downloaded = `test "$(du -cm ${cache}/downloads/*.part 2>/dev/null | tail -1 | cut -f1)" -ge 30`;
  await Promise.race([until(vm, downloaded), first.then(succeeded)]);
  await sh(vm, 'kill -INT "$(cut -d" " -f1 /run/hardway.lock)"; rm /srv/sites/slow');
  const { code, stdout, stderr } = await first;
  expect(code, `${stdout}\n${stderr}`).toBe(130);
  const before = (await asked()).length;

  const second = succeeded(await upAsPerson());
  expect(second.stdout).toContain('The cluster is up');
  const nodes = succeeded(await execInVm(vm, ['kubectl', 'get', 'nodes', '--no-headers'], { user: 'learner' }));
  expect(nodes.stdout).toMatch(/^kubernetes\s+Ready\s/);

  const all = await asked();
  expect(all.slice(before).some(({ from }) => from > 0)).toBe(true);
  const sizes = new Map<string, number>();
  const got = all.filter(({ method }) => method === 'GET');
  for (const { path } of got) sizes.set(path, Number(await sh(vm, `stat -c %s /srv/sites/${path}`)));
  const needed = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const sent = got.reduce((sum, one) => sum + one.sent, 0);
  expect(sent / needed).toBeLessThan(1.02);
});

test('everybody may read what came, and nothing half is left', async () => {
  expect(await sh(vm, `find ${cache}/bin ${cache}/images ${cache}/downloads ! -perm -o=r`)).toBe('');
  expect(await sh(vm, `ls ${cache}/downloads`)).not.toContain('.part');
});
