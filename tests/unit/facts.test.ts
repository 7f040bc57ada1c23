import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { contentOf } from '../../lib/host/facts/foreign.ts';
import { networkIn } from '../../lib/host/facts/network.ts';
import { mountAt, placesOf } from '../../lib/host/facts/places.ts';
import { forbidsLoading } from '../../lib/host/modules.ts';
import { run, tryRun } from '../../lib/host/run.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';

describe('the data in a folder', () => {
  let scratch: Awaited<ReturnType<typeof scratchFolder>>;
  beforeAll(async () => {
    scratch = await scratchFolder();
  });
  afterAll(() => scratch.remove());

  test('are its first files on any level; a folder of a new disk has none', async () => {
    const path = `${scratch.path}/data`;
    expect(await contentOf(path)).toBeUndefined();
    await mkdir(`${path}/lost+found`, { recursive: true });
    await writeFile(`${path}/lost+found/#12`, '');
    expect(await contentOf(path)).toBeUndefined();
    await mkdir(`${path}/a/b`, { recursive: true });
    expect(await contentOf(path)).toEqual({ path, first: [`${path}/a`], more: false, entries: [`${path}/a`] });
    await writeFile(`${path}/a/b/note`, '');
    expect(await contentOf(path)).toEqual({ path, first: [`${path}/a/b/note`], more: false, entries: [`${path}/a`] });
    for (const name of ['1', '2', '3']) await writeFile(`${path}/${name}`, '');
    expect(await contentOf(path)).toEqual({
      path,
      first: ['1', '2', '3'].map((name) => `${path}/${name}`),
      more: true,
      entries: ['1', '2', '3', 'a'].map((name) => `${path}/${name}`),
    });
  });

  test('are a file itself, and what a link leads to', async () => {
    const file = `${scratch.path}/file`;
    await writeFile(file, '');
    expect(await contentOf(file)).toEqual({ path: file, first: [file], more: false, entries: [file] });
    await mkdir(`${scratch.path}/other`);
    await symlink(`${scratch.path}/other`, `${scratch.path}/link`);
    expect(await contentOf(`${scratch.path}/link`)).toBeUndefined();
    await writeFile(`${scratch.path}/other/one`, '');
    expect((await contentOf(`${scratch.path}/link`))?.first).toEqual([`${scratch.path}/link/one`]);
  });
});

describe('the file system of a path', () => {
  const mount = (point: string, source = point) => ({ point, source, type: 'ext4', id: 1, options: [] });
  const mounts = [mount('/'), mount('/var'), mount('/var/lib', 'old'), mount('/var/lib', 'new'), mount('/va')];

  test('is the one that was mounted last, next above it', () => {
    expect(mountAt(mounts, '/var/lib/hardway')?.source).toBe('new');
    expect(mountAt(mounts, '/var/libexec')?.point).toBe('/var');
    expect(mountAt(mounts, '/usr')?.point).toBe('/');
  });

  test('is found for a path that is not there yet', async () => {
    const [place] = await placesOf(['/proc/no/such/folder']);
    expect(place).toMatchObject({ path: '/proc/no/such/folder', point: '/proc', type: 'proc', freeInodes: 1 });
  });
});

test('a folder or a file that is immutable is found as what keeps root from a place', async (context) => {
  needsRoot(context);
  const { path, remove } = await scratchFolder();
  await writeFile(`${path}/file`, '');
  context.skip(
    (await tryRun('chattr', ['+i', path, `${path}/file`])).code !== 0,
    'this file system knows no chattr +i',
  );
  const places = await placesOf([`${path}/new/file`, `${path}/file`]);
  await run('chattr', ['-i', path, `${path}/file`]);
  expect(places.map(({ locked }) => locked)).toEqual([path, `${path}/file`]);
  expect((await placesOf([path]))[0]).not.toHaveProperty('locked');
  await remove();
});

test('a module whose place in modprobe.d is taken by nothing is forbidden', () => {
  expect(forbidsLoading('install /bin/false \n')).toBe('install /bin/false');
  expect(forbidsLoading('insmod /lib/modules/6.1/a.ko \ninstall /usr/bin/true # off')).toBe(
    'install /usr/bin/true # off',
  );
  expect(forbidsLoading('insmod /lib/modules/6.1/overlay.ko ')).toBeUndefined();
  expect(forbidsLoading('install /sbin/modprobe --ignore-install overlay && true')).toBeUndefined();
});

describe('the networks of a machine', () => {
  const link = (ifname: string, local: string) => ({
    ifname,
    addr_info: [{ family: 'inet', local, prefixlen: 24, scope: 'global' }],
  });
  const links = [link('eth0', '10.0.0.5'), link('eth1', '10.1.0.5')];

  test('are those of its addresses and routes; one that leads nowhere has a type in the place of an interface', () => {
    const routes = [
      { dst: 'default', dev: 'eth0' },
      { dst: '10.200.7.0/26', type: 'blackhole', protocol: '80' },
    ];
    const { networks } = networkIn(links, routes, undefined);
    expect(networks).toContainEqual({ interface: 'eth1', cidr: '10.1.0.5/24' });
    expect(networks.at(-1)).toEqual({ cidr: '10.200.7.0/26', type: 'blackhole', protocol: '80' });
  });

  test('are not the parts of the internet that a VPN leads to', () => {
    const routes = ['0.0.0.0/1', '128.0.0.0/1', '64.0.0.0/2', '10.0.0.0/8'].map((dst) => ({ dst, dev: 'tun0' }));
    expect(networkIn([], routes, undefined).networks).toEqual([{ interface: 'tun0', cidr: '10.0.0.0/8' }]);
  });

  test('have the Node where the best default route leads that leads somewhere, through several next hops too', () => {
    const nowhere = { dst: 'default', type: 'unreachable', metric: 1 };
    const several = { dst: 'default', metric: 5, nexthops: [{ dev: 'eth1' }, { dev: 'eth0' }] };
    const worse = { dst: 'default', dev: 'eth0', metric: 9 };
    expect(networkIn(links, [nowhere, worse, several], undefined).node).toEqual({
      interface: 'eth1',
      address: '10.1.0.5',
    });
    expect(networkIn(links, [nowhere], undefined).node).toBeUndefined();
    expect(networkIn(links, [worse], 'eth1').node).toEqual({ interface: 'eth1', address: '10.1.0.5' });
  });
});
