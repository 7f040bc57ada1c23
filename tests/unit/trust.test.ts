import { chmod, chown, lchown, mkdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, type TestContext, test, vi } from 'vitest';
import { requireOwn, requireOwnCache, requireOwnOrAsked, requireOwnPlaces } from '../../lib/engine/own.ts';
import { faultIn } from '../../lib/host/trust.ts';
import { needsRoot, scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
let folder: string;
beforeEach(async () => {
  scratch = await scratchFolder();
  folder = await realpath(scratch.path);
  await mkdir(at('a'), { mode: 0o755 });
  await writeFile(at('a/file'), 'x', { mode: 0o644 });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await scratch.remove();
});
const at = (name: string): string => `${folder}/${name}`;

/** A user and a group of which /etc/passwd and /etc/group know nothing. */
const stranger = 61_234;
const me = process.getuid?.() ?? 0;
const file = (): string => at('a/file');

describe('a path that nobody else can change', () => {
  test('has no fault, in a sticky folder neither', async () => {
    expect(await faultIn(file())).toBeUndefined();
    await chmod(folder, 0o1777);
    expect(await faultIn(file())).toBeUndefined();
  });

  test('may pass through links of our own, relative ones and those with .. too', async () => {
    await symlink('../a/../a', at('a/again'));
    await symlink(at('a/again/file'), at('link'));
    expect(await faultIn(at('link'))).toBeUndefined();
  });

  test('may be one that is not there yet', async () => {
    expect(await faultIn(at('a/none/at/all'))).toBeUndefined();
    expect(await faultIn(at('a/file/below'))).toBeUndefined();
  });

  test('may let a group write that nobody is in, or only a user who may change it anyway', async (context) => {
    needsRoot(context);
    await chown(file(), 0, stranger);
    await chmod(file(), 0o664);
    expect(await faultIn(file())).toBeUndefined();
    await chown(file(), 0, 0);
    expect(await faultIn(file(), [0])).toBeUndefined();
  });
});

describe('the fault of a path', () => {
  test.each([
    ['the file that all may write', () => chmod(file(), 0o666), 'a/file', 'has the mode 0666', 'chmod go-w'],
    ['the folder that all may write', () => chmod(at('a'), 0o777), 'a', 'has the mode 0777', 'chmod go-w'],
    ['the first of several', () => Promise.all([chmod(at('a'), 0o757), chmod(file(), 0o666)]), 'a', '0757', 'chmod'],
  ] as const)('is %s', async (_, make, part, why, hint) => {
    await make();
    const fault = await faultIn(file());
    expect(fault).toMatchObject({ path: at(part), why: expect.stringContaining(why) });
    expect(fault?.hint).toContain(hint);
  });

  test('is a sticky folder where it is the end of the path: everybody may put something there', async () => {
    await chmod(at('a'), 0o1777);
    expect(await faultIn(at('a'))).toMatchObject({ path: at('a'), why: 'has the mode 1777' });
    expect(await faultIn(file())).toBeUndefined();
  });

  test('is a folder behind a link, and the link is followed from where it lies', async () => {
    await mkdir(at('b'));
    await symlink('../a/file', at('b/link'));
    await chmod(at('a'), 0o777);
    expect(await faultIn(at('b/link'))).toMatchObject({ path: at('a') });
  });

  test('is a link that leads to itself', async () => {
    await symlink(at('loop'), at('loop'));
    expect(await faultIn(at('loop'))).toMatchObject({ path: at('loop'), why: 'is a link that leads to itself' });
  });

  const asRoot = (name: string, run: () => Promise<void>): void =>
    test(name, async (context: TestContext) => {
      needsRoot(context);
      await run();
    });

  asRoot('is what belongs to somebody else: a file, a folder, a link', async () => {
    await symlink(file(), at('link'));
    await lchown(at('link'), stranger, 0);
    expect(await faultIn(at('link'))).toEqual({
      path: at('link'),
      why: `belongs to uid ${stranger}`,
      hint: `chown -h root ${at('link')}`,
    });
    await chown(at('a'), stranger, 0);
    expect(await faultIn(file())).toMatchObject({ path: at('a'), hint: 'copy it to a folder of root' });
    expect(await faultIn(at('a'))).toMatchObject({ path: at('a'), hint: `chown root ${at('a')}` });
    expect(await faultIn(file(), [me, stranger])).toBeUndefined();
  });

  asRoot('is a group that may write and that somebody else is in', async () => {
    const nogroup = 65_534; // the group of nobody, on Debian and Ubuntu
    await chown(file(), 0, nogroup);
    await chmod(file(), 0o664);
    expect(await faultIn(file())).toMatchObject({ path: file(), why: 'has the mode 0664' });
    const users = (await readFile('/etc/passwd', 'utf8')).trim().split('\n');
    const everybody = users.map((line) => Number(line.split(':')[2]));
    expect(await faultIn(file(), everybody)).toBeUndefined();
  });
});

describe('what others may change is refused', () => {
  test('with its owner or mode, and the command that ends it', async () => {
    await chmod(at('a'), 0o777);
    await expect(requireOwn(file())).rejects.toMatchObject({
      name: 'UserError',
      message: `${file()} is not used: others than root may change ${at('a')}, which has the mode 0777`,
      next: expect.stringContaining(`chmod go-w ${at('a')}`),
    });
  });

  test('in the cache by bringing it anew, and above the cache by its mode', async () => {
    await chmod(at('a'), 0o777);
    await expect(requireOwnCache(file(), at('a'))).rejects.toMatchObject({
      next: expect.stringContaining(`rm -r ${at('a')}`),
    });
    await expect(requireOwnCache(file(), file())).rejects.toMatchObject({ next: `chmod go-w ${at('a')}` });
  });

  test('unless it is the file of the person behind sudo, who names it', async (context) => {
    needsRoot(context);
    await chown(file(), stranger, stranger);
    await expect(requireOwnOrAsked(file())).rejects.toThrow(`belongs to uid ${stranger}`);
    vi.stubEnv('SUDO_UID', String(stranger + 1));
    await expect(requireOwnOrAsked(file())).rejects.toThrow(`belongs to uid ${stranger}`);
    vi.stubEnv('SUDO_UID', String(stranger));
    await requireOwnOrAsked(file());
    await expect(requireOwn(file())).rejects.toThrow(`belongs to uid ${stranger}`);
  });
});

/** Makes a folder with the parts of a checkout that are judged. */
const checkout = async (): Promise<string> => {
  const project = at('checkout');
  for (const part of ['bin', 'lib', 'steps', 'node_modules']) await mkdir(`${project}/${part}`, { recursive: true });
  await writeFile(`${project}/bin/cli.ts`, '');
  return project;
};

test('a checkout is that of root or of who asked, and nobody else may write to it', async (context) => {
  needsRoot(context);
  const project = await checkout();
  await requireOwnPlaces(project);
  for (const part of ['', '/bin', '/bin/cli.ts', '/lib', '/steps', '/node_modules'])
    await chown(`${project}${part}`, stranger, stranger);
  await requireOwnPlaces(project); // root has chosen it
  vi.stubEnv('SUDO_UID', String(stranger));
  await requireOwnPlaces(project);
  await chmod(`${project}/lib`, 0o775); // umask 002, and a group of the person's own
  await requireOwnPlaces(project);
  await chmod(`${project}/lib`, 0o777);
  await expect(requireOwnPlaces(project)).rejects.toThrow(`${project}/lib`);
  await chmod(`${project}/lib`, 0o755);
  vi.stubEnv('SUDO_UID', String(stranger + 1));
  await expect(requireOwnPlaces(project)).rejects.toThrow(`belongs to uid ${stranger}`);
});

test('PATH keeps only folders that are root’s alone', async (context) => {
  needsRoot(context);
  await mkdir(at('theirs'));
  await chown(at('theirs'), stranger, stranger);
  vi.stubEnv('PATH', `${at('a')}:${at('theirs')}:relative::/usr/bin`);
  await requireOwnPlaces(await checkout());
  expect(process.env['PATH']).toBe(`${at('a')}:/usr/bin`);
});
