import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { parseUpFlags } from '../../bin/vm/up-flags.ts';
import { kubeconfig } from '../../lib/pki/kubeconfig.ts';
import { insideWords } from '../../lib/vm/guest.ts';
import { outside } from '../../lib/vm/kubeconfig.ts';
import { packagesFor } from '../../lib/vm/packages.ts';
import { freePort } from '../../lib/vm/port.ts';
import { checkName, unknownVm } from '../../lib/vm/record.ts';
import { chooseSuite, mirrorIn } from '../../lib/vm/suites.ts';

describe('the name of a VM', () => {
  test.each(['lab', 'a', 'my-lab-2', 'a'.repeat(30)])('may be %s', (name) => {
    expect(checkName(name)).toBe(name);
  });

  test.each(['', 'Lab', '2lab', '-lab', 'la b', '../etc', 'a/b', 'é', 'a'.repeat(31), 'lab\n'])(
    'may not be %j',
    (name) => {
      expect(() => checkName(name)).toThrow(/lower-case letter first/);
    },
  );

  test('that is unknown is answered with the nearest one', () => {
    expect(unknownVm('lap', ['real', 'lab']).message).toContain("Did you mean 'lab'?");
  });

  test('that is unknown where there is no VM is answered with how to make it', () => {
    expect(unknownVm('lab', []).next).toBe('hardway vm up lab');
  });
});

describe('the words of a command', () => {
  test('are run with the environment of a login inside, not with that of the caller', () => {
    const words = insideWords(['id'], { env: { A: 'b c' } });
    expect(words.slice(0, 4)).toEqual(['env', '-i', '-C', '/root']);
    expect(words).toContain('A=b c');
    expect(words.at(-1)).toBe('id');
  });

  test('are run as another user in their home', () => {
    const words = insideWords(['id'], { user: 'learner' });
    expect(words.slice(0, 4)).toEqual(['runuser', '-u', 'learner', '--']);
    expect(words).toContain('HOME=/home/learner');
  });
});

describe('the archive of a distribution', () => {
  const deb822 =
    'Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n\nURIs: http://mirror.example/debian-security\n';

  test('is found in a deb822 source', () => {
    expect(mirrorIn(deb822, 'debian')).toBe('http://mirror.example/debian');
  });

  test('is found in a one-line source with options', () => {
    expect(mirrorIn('deb [arch=amd64] https://mirror.example/ubuntu/ noble main', 'ubuntu')).toBe(
      'https://mirror.example/ubuntu/',
    );
  });

  test('is not taken from a comment or another distribution', () => {
    expect(mirrorIn(`# deb http://mirror.example/ubuntu noble main\n${deb822}`, 'ubuntu')).toBeUndefined();
  });

  test('is refused for a suite that is not known, with the nearest that is', async () => {
    await expect(chooseSuite('bookwrm')).rejects.toMatchObject({ next: expect.stringContaining('--suite bookworm') });
  });
});

test("the kubeconfig for this machine has the admin's keys, another address, and names of its own", () => {
  const keys = { ca: 'the CA', certificate: 'a certificate', key: 'a key' };
  const inner = kubeconfig({ server: 'https://127.0.0.1:6443', user: 'admin', ...keys });
  expect(outside('lab', 41_000, inner)).toBe(
    kubeconfig({ server: 'https://127.0.0.1:41000', user: 'lab-admin', cluster: 'lab', ...keys }),
  );
});

test('a port that is wanted is kept where it is free, and another is taken where it is not', async () => {
  const free = await freePort();
  expect(await freePort(free)).toBe(free);
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(free, '127.0.0.1', resolve));
  const other = await freePort(free);
  holder.close();
  expect(other).not.toBe(free);
  expect(other).toBeGreaterThan(0);
});

test('a VM with a kernel of its own has all packages of a container, a kernel and sshd', () => {
  const container = packagesFor('debian', 'container', 'plain', 'x64');
  const qemu = packagesFor('debian', 'qemu', 'plain', 'x64');
  expect(qemu).toEqual(expect.arrayContaining([...container, 'openssh-server', 'linux-image-cloud-amd64']));
});

describe('what hardway up inside a VM is given', () => {
  test('decides on what has to be in the cache: Traefik only for an ingress', () => {
    const { needs, ...rest } = parseUpFlags([
      '--cni',
      'bridge',
      '--source=go',
      '--kubernetes=v1.35',
      '--to',
      'etcd',
    ]).filling;
    expect(rest).toEqual({ kubernetes: 'v1.35.8', cni: 'bridge', source: 'go', registryMirror: undefined });
    expect(needs.images).not.toContain('traefik');
    expect(needs.programs).toEqual(expect.arrayContaining(['kube-apiserver', 'etcd', 'runc']));
    expect(needs.plugins).toContain('bridge');
    expect(parseUpFlags(['--with=ingress']).filling.needs.images).toContain('traefik');
  });

  test.each([
    [['--cni', 'bridg'], /did you mean bridge/],
    [['--kubernetes', 'v1.30'], /no Kubernetes "v1.30"; did you mean v1.3/],
    [['--with', 'ingres'], /did you mean ingress/],
    [['--pause', 'kubelett'], /did you mean kubelet/],
    [['--lang', 'f'], /did you mean fr/],
  ])('is refused before a VM is made where hardway up would refuse it: %o', (flags, words) => {
    expect(() => parseUpFlags(flags)).toThrow(words);
  });
});
