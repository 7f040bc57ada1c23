import { describe, expect, test } from 'vitest';
import { isMountPoint, mountTable, parseMounts } from '../../lib/host/mounts.ts';

const line = (point: string, source: string, optional = 'shared:1 master:2 '): string =>
  `36 35 98:0 /root\\040dir//deleted ${point} rw,noatime ${optional}- ext4 ${source} rw,errors=continue\n`;

const options = ['rw', 'noatime', 'rw', 'errors=continue'];

describe('mountinfo', () => {
  test.each([
    ['/plain', '/plain'],
    ['/two\\040words', '/two words'],
    ['/tab\\011and\\012line', '/tab\tand\nline'],
    ['/back\\134040slash', '/back\\040slash'],
    ['/caf\\303\\251', '/café'],
    ['/café', '/café'],
    ['/a(b)-c', '/a(b)-c'],
  ])('has %s for %j', (written, point) => {
    expect(parseMounts(line(written, written))).toEqual([{ id: 36, point, type: 'ext4', source: point, options }]);
  });

  test('may have no optional fields, and no source', () => {
    expect(parseMounts(line('/one', '', ''))).toEqual([{ id: 36, point: '/one', type: 'ext4', source: '', options }]);
  });

  test('of nothing is no mount', () => {
    expect(parseMounts('')).toEqual([]);
  });

  test('of this machine has /proc', () => {
    expect(mountTable()).toContainEqual(expect.objectContaining({ point: '/proc', type: 'proc' }));
    expect(isMountPoint('/proc')).toBe(true);
    expect(isMountPoint('/proc/self')).toBe(false);
  });
});
