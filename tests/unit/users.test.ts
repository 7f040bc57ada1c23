import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ensureUser, isUserGone, ownUsers } from '../../lib/daemons/users.ts';
import type { Undo } from '../../lib/host/change.ts';
import type { Host } from '../../lib/host/host.ts';

const files = vi.hoisted(() => ({ passwd: '', group: '' }));
vi.mock('../../lib/host/files.ts', async (original) => ({
  ...(await original<typeof import('../../lib/host/files.ts')>()),
  readIfThere: async (path: string) => (path === '/etc/passwd' ? files.passwd : files.group),
}));

const root = 'root:x:0:0:root:/root:/bin/bash\n';
let did: { argv: readonly string[]; undo: Undo | undefined }[];
let expected: string[];
const host = {
  sh: async (argv, undo) => void did.push({ argv, undo }),
  expect: async (path) => void expected.push(path),
} as Pick<Host, 'sh' | 'expect'> as Host;

beforeEach(() => {
  did = [];
  expected = [];
  files.passwd = root;
  files.group = 'root:x:0:\n';
});

describe('the account of a component', () => {
  test('is made without password, shell and home, with an undo, after the files that useradd rewrites were kept', async () => {
    await ensureUser(host, 'etcd');
    expect(expected).toEqual(['/etc/passwd-', '/etc/group-', '/etc/shadow-', '/etc/gshadow-']);
    expect(did).toHaveLength(1);
    expect(did[0]?.argv.join(' ')).toMatch(/^useradd --system --user-group .*--shell \/usr\/sbin\/nologin .* etcd$/);
    expect(did[0]?.undo).toEqual({ kind: 'user', name: 'etcd' });
  });

  test('goes into a group of its name that is there, as useradd would refuse to make it', async () => {
    files.group += 'etcd:x:998:\n';
    await ensureUser(host, 'etcd');
    expect(did[0]?.argv.join(' ')).toContain('--gid etcd');
  });

  test('of a package is taken as it is, and stays at a reset', async () => {
    files.passwd += 'etcd:x:110:110::/var/lib/etcd:/usr/sbin/nologin\n';
    await ensureUser(host, 'etcd');
    expect([did, expected]).toEqual([[], []]);
    expect(await ownUsers()).toEqual([]);
  });

  test.each([
    ['a person', 1000],
    ['root', 0],
  ])('is refused where its name is that of %s', async (_, uid) => {
    files.passwd += `etcd:x:${uid}:${uid}:Etta:/home/etcd:/bin/bash\n`;
    await expect(ensureUser(host, 'etcd')).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringContaining('etcd'),
      next: expect.stringContaining('usermod --login'),
    });
    expect(did).toEqual([]);
  });
});

test('accounts that hardway made are known by their comment, also where the ledger is lost', async () => {
  files.passwd += 'etcd:x:999:999:made by hardway:/nonexistent:/usr/sbin/nologin\n';
  expect(await ownUsers()).toEqual(['etcd']);
});

test('an account is gone when its group is gone too', async () => {
  files.group += 'etcd:x:999:\n';
  expect(await isUserGone('etcd')).toBe(false);
  files.group = '';
  expect(await isUserGone('etcd')).toBe(true);
});
