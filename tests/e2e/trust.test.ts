import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Ran } from '../../lib/host/run.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, succeeded } from './lib.ts';

const name = 'e2e-trust';
let vm: Vm;
beforeAll(async () => {
  vm = await freshVm(name);
  await sh(vm, 'for one in alice bob; do useradd --create-home --shell /bin/sh $one; done');
});
afterAll(() => dropVm(name));

/** What sudo tells of alice, who has typed the command. */
const alice = (): Promise<Record<string, string>> =>
  sh(vm, 'id -u alice').then((uid) => ({ SUDO_USER: 'alice', SUDO_UID: uid, SUDO_GID: uid }));
/** Brings up what has no daemon, which is enough for keys, programs and homes. */
const upAsAlice = async (env: Record<string, string> = {}): Promise<Ran> =>
  hardway(vm, ['up', '--cni', 'bridge', '--to', 'kubeconfigs'], { env: { ...(await alice()), ...env } });
/** The same as root itself, without the launcher, in this environment. */
const upDirectly = async (...env: readonly string[]): Promise<Ran> => {
  const node = await sh(vm, 'ls /var/cache/hardway/node/node_modules/node/bin/node');
  const words = [node, '/opt/hardway/bin/cli.ts', 'up', '--cni', 'bridge', '--to', 'kubeconfigs'];
  return execInVm(vm, ['env', ...env, ...words]);
};
const reset = (): Promise<Ran> => hardway(vm, ['reset', '--yes']);
const modesOf = (...paths: readonly string[]): Promise<string> => sh(vm, `stat -c '%U %a %n' ${paths.join(' ')}`);

const mustRefuse = async (ran: Ran, ...words: readonly string[]): Promise<void> => {
  for (const word of words) expect(ran.stderr).toContain(word);
  expect(ran.stderr).toMatch(/next: |See who: /);
  expect(ran).toMatchObject({ code: 2, stdout: '' });
  expect(await sh(vm, 'ls /run/hardway* /etc/sysctl.d/99-hardway.conf 2>/dev/null || :')).toBe('');
};

describe('before anything is changed, refuses', () => {
  test.for([
    ['a lab folder that all may write', 'mkdir -m 777 /var/lib/hardway', 'has the mode 0777'],
    ['a lab folder of somebody else', 'mkdir /var/lib/hardway; chown bob /var/lib/hardway', 'belongs to bob'],
    ['a lab folder that is a link', 'ln -s /srv /var/lib/hardway', '/var/lib/hardway is a link'],
  ])('%s', async ([, make = '', words = '']) => {
    await sh(vm, make);
    await mustRefuse(await upAsAlice(), words);
    await sh(vm, 'rm -rf /var/lib/hardway');
    expect(await sh(vm, 'ls /srv')).toBe('');
  });

  test('settings that somebody else may write', async () => {
    await sh(vm, 'touch /etc/hardway.yaml; chown bob /etc/hardway.yaml');
    await mustRefuse(await upAsAlice(), '/etc/hardway.yaml is not used', 'belongs to bob', 'chown root');
    await sh(vm, 'rm /etc/hardway.yaml');
  });

  test('a cache of somebody else, one that all may write, and one that is no path', async () => {
    await sh(vm, 'mkdir -p /home/bob/cache /opt/cache; chown bob /home/bob/cache; chmod 777 /opt/cache');
    const upOf = (cache: string): Promise<Ran> => upDirectly(`HARDWAY_CACHE=${cache}`);
    await mustRefuse(await upOf('/home/bob/cache'), 'belongs to bob');
    await mustRefuse(await upOf('/opt/cache'), 'has the mode 0777', 'rm -r /opt/cache');
    await mustRefuse(await upAsAlice({ HARDWAY_CACHE: '/opt/cache' }), '/opt/cache is not used', 'namei -l /opt/cache');
    expect(await sh(vm, 'ls -A /home/bob/cache /opt/cache')).toBe('/home/bob/cache:\n\n/opt/cache:');
    expect(await upAsAlice({ HARDWAY_CACHE: 'cache' })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("HARDWAY_CACHE is 'cache'"),
    });
  });
});

test('an empty HARDWAY_CACHE is none: programs lie in no folder of whoever typed the command', async () => {
  const bin = '/home/alice/bin/amd64';
  await sh(vm, `mkdir -p ${bin}; cp -r /var/cache/hardway/bin/*/etcd-* ${bin}; chown -R alice /home/alice/bin`);
  succeeded(await upAsAlice({ HARDWAY_CACHE: '' }));
  expect(await sh(vm, 'stat -c %U /var/lib/hardway/bin/etcd')).toBe('root');
  expect(await sh(vm, 'readlink -f /usr/local/bin/kubectl')).toMatch(/^\/(var\/cache\/hardway|usr\/local)\//);
});

test('keys, kubeconfigs and folders that others could read are faults, which up mends', async () => {
  const folders = ['/var/lib/hardway', '/var/lib/hardway/certs', '/var/lib/hardway/kubeconfigs'];
  const files = ['/var/lib/hardway/certs/ca-key.pem', '/var/lib/hardway/kubeconfigs/admin.conf'];
  const right = await modesOf(...folders, ...files);
  await sh(vm, `chmod 750 ${folders.join(' ')}; chmod 644 ${files.join(' ')}; chown bob ${files[0]}`);
  const { code, stdout } = await hardway(vm, ['check']);
  expect(code).toBe(1);
  for (const path of folders) expect(stdout).toContain(`${path} has the mode 0750`);
  succeeded(await upAsAlice());
  expect(await modesOf(...folders, ...files)).toBe(right);
});

describe('in the home of a person', () => {
  const precious = '/srv/precious';
  beforeEach(async () => {
    await hardway(vm, ['reset', '--to', 'certificates', '--yes']); // a kubeconfig is given when the step is taken
    await sh(vm, `rm -rf /home/alice/.kube ${precious}; mkdir -m 755 ${precious}; echo theirs >${precious}/config`);
  });
  const mustBeIntact = async (): Promise<void> => {
    expect(await sh(vm, `stat -c '%U %a' ${precious}/config; cat ${precious}/*; ls ${precious}`)).toBe(
      'root 644\ntheirs\nconfig',
    );
  };

  test('~/.kube/config is the person’s, and reset leaves nothing', async () => {
    succeeded(await upAsAlice());
    expect(await modesOf('/home/alice/.kube', '/home/alice/.kube/config')).toBe(
      'alice 750 /home/alice/.kube\nalice 600 /home/alice/.kube/config',
    );
    await sh(vm, `runuser -u alice -- sh -c 'mkdir ~/.kube/cache; ln -s ${precious} ~/.kube/cache/link'`);
    succeeded(await reset());
    await mustBeIntact();
    expect(await sh(vm, 'ls -A /home/alice')).not.toContain('.kube');
  });

  test('nothing is written through a link, and no lab stops for it', async () => {
    await sh(vm, `ln -s ${precious} /home/alice/.kube`);
    succeeded(await upAsAlice());
    await mustBeIntact();
  });

  test('nothing is removed through a link that came since', async () => {
    succeeded(await upAsAlice());
    await sh(vm, `mkdir ${precious}/cache; mv /home/alice/.kube /home/alice/old; ln -s ${precious} /home/alice/.kube`);
    const { stdout, stderr } = await reset();
    expect(`${stdout}${stderr}`).toContain('.kube');
    expect(await sh(vm, `rmdir ${precious}/cache && echo there`)).toBe('there');
    await mustBeIntact();
  });

  test.for(['mkfifo config', 'ln -s /etc/shadow config', 'mkdir config', 'ln -s config config'])(
    'a lab comes up where ~/.kube has "%s"',
    async (make) => {
      const shadow = await sh(vm, "stat -c '%U %a %i' /etc/shadow");
      await sh(vm, `runuser -u alice -- sh -c 'mkdir ~/.kube; cd ~/.kube; ${make}'`);
      succeeded(await upAsAlice());
      expect(await sh(vm, "stat -c '%U %a %i' /etc/shadow")).toBe(shadow);
    },
  );
});

test('no program in a folder of somebody else is run by root', async () => {
  await sh(vm, 'mkdir -p /home/bob/bin');
  for (const program of ['ipset', 'ss', 'ip', 'systemctl'])
    await sh(vm, `printf '#!/bin/sh\\necho $0 >>/root/ran\\n' >/home/bob/bin/${program}; chmod 755 /home/bob/bin/*`);
  await sh(vm, 'chown -R bob /home/bob/bin');
  const path = `/home/bob/bin:${await sh(vm, 'echo $PATH')}`;
  succeeded(await upDirectly(`PATH=${path}`));
  expect(await sh(vm, 'ls /root/ran 2>/dev/null || echo none')).toBe('none');
});
