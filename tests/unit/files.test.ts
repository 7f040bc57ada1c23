import { mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  exists,
  newerFile,
  readIfThere,
  sha256,
  sha256OfFile,
  statIfThere,
  swapIn,
  writeAtomically,
} from '../../lib/host/files.ts';
import { run } from '../../lib/host/run.ts';
import { readSysctl, sysctlFile } from '../../lib/host/sysctl.ts';
import { scratchFolder } from '../fixtures.ts';

let scratch: Awaited<ReturnType<typeof scratchFolder>>;
beforeEach(async () => {
  scratch = await scratchFolder();
});
afterEach(() => scratch.remove());
const at = (name: string): string => `${scratch.path}/${name}`;

describe('a path', () => {
  test.each([
    ['a file', () => writeFile(at('it'), ''), true],
    ['a folder', () => mkdir(at('it')), true],
    ['a link to a file', async () => [await writeFile(at('file'), ''), await symlink(at('file'), at('it'))], true],
    ['a link that leads nowhere', () => symlink('/nowhere', at('it')), false],
    ['nothing', async () => {}, false],
  ])('with %s', async (_, make, there) => {
    await make();
    expect(await exists(at('it'))).toBe(there);
  });

  test('below a file is nothing, and no error', async () => {
    await writeFile(at('file'), '');
    expect(await exists(at('file/inner'))).toBe(false);
    expect(await readIfThere(at('file/inner'))).toBeUndefined();
    expect(await statIfThere(at('file/inner'))).toBeUndefined();
  });

  test('that is no regular file of a usual size is not read, and never waited for', async () => {
    await run('mkfifo', [at('fifo')]);
    await run('truncate', ['-s', '3G', at('big')]);
    await expect(readIfThere(at('fifo'))).rejects.toThrow(`${at('fifo')} is a FIFO, not a file`);
    await expect(readIfThere(at('big'))).rejects.toThrow(`${at('big')} has more than 64 MB`);
  });

  test('of /proc, which says that it has no bytes, is read to its end', async () => {
    expect((await readIfThere('/proc/self/stat'))?.length).toBeGreaterThan(10);
  });

  test('that cannot be looked at is an error, not nothing', async () => {
    const long = at('n'.repeat(300)); // ENAMETOOLONG: as EACCES, but for root too
    await expect(exists(long)).rejects.toThrow('ENAMETOOLONG');
    await expect(readIfThere(long)).rejects.toThrow('ENAMETOOLONG');
    await expect(statIfThere(long)).rejects.toThrow('ENAMETOOLONG');
  });
});

test('a file has the checksum of its text, whatever its size', async () => {
  const text = 'ab\n'.repeat(1_000_000);
  await writeFile(at('large'), text);
  expect(await sha256OfFile(at('large'))).toBe(sha256(text));
  expect(sha256('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  await expect(sha256OfFile(at('none'))).rejects.toThrow('ENOENT');
});

describe('what is put in place in one go', () => {
  test('has its mode whatever the umask, and nothing is left beside it', async () => {
    await writeAtomically(at('a file (1)'), 'new', { mode: 0o622 });
    expect((await stat(at('a file (1)'))).mode & 0o777).toBe(0o622);
    expect(await readdir(scratch.path)).toEqual(['a file (1)']);
  });

  test('is as it was where making it fails, and nothing is left beside it', async () => {
    await writeFile(at('file'), 'old');
    const half = swapIn(at('file'), async (temporary) => {
      await writeFile(temporary, 'ha');
      throw new Error('disk full');
    });
    await expect(half).rejects.toThrow('disk full');
    expect(await readFile(at('file'), 'utf8')).toBe('old');
    expect(await readdir(scratch.path)).toEqual(['file']);
  });

  test('takes the place of what a killed process left, but not of what a living one prepares', async () => {
    await writeFile(at('file.hardway-99999999'), 'half');
    await writeFile(at(`file.hardway-${process.ppid}`), 'theirs');
    await writeAtomically(at('file'), 'whole', { mode: 0o600 });
    expect((await readdir(scratch.path)).sort()).toEqual(['file', `file.hardway-${process.ppid}`]);
  });

  test('is prepared where asked, and what others prepare is not looked at', async () => {
    await writeFile(at('file.hardway-99999999'), 'of another machine');
    await writeAtomically(at('file'), 'whole', { mode: 0o600, temporary: at('file.part-1') });
    expect((await readdir(scratch.path)).sort()).toEqual(['file', 'file.hardway-99999999']);
  });
});

describe('a kernel parameter', () => {
  test.each([
    ['net.ipv4.ip_forward', '/proc/sys/net/ipv4/ip_forward'],
    ['net.ipv4.conf.eth0/100.forwarding', '/proc/sys/net/ipv4/conf/eth0.100/forwarding'],
    ['net.ipv4.conf.eth0\\100.forwarding', '/proc/sys/net/ipv4/conf/eth0.100/forwarding'],
    ['net.bridge.bridge-nf-call-iptables', '/proc/sys/net/bridge/bridge-nf-call-iptables'],
  ])('%s is the file %s', (name, file) => {
    expect(sysctlFile(name)).toBe(file);
  });

  test('is read without its newline, with one blank for a tab', () => {
    expect(readSysctl('kernel.ostype')).toBe('Linux');
    expect(readSysctl('net.ipv4.ip_local_port_range')).toMatch(/^\d+ \d+$/);
  });

  test('that is not there, or only written to, has no value', () => {
    expect(readSysctl('net.ipv4.no_such')).toBeUndefined();
    expect(readSysctl('net.ipv4.route.flush')).toBeUndefined();
  });
});

test('a folder is as old as its creation, whatever was written into it since', async () => {
  const before = Date.now() - 10_000;
  expect(await newerFile([scratch.path], before)).toBe(scratch.path);
  const later = Date.now() + 1000;
  await utimes(scratch.path, later, later);
  expect(await newerFile([scratch.path], Date.now())).toBeUndefined();
});
