import { randomBytes } from 'node:crypto';
import { closeSync, constants, fdatasyncSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

/** Bytes of a block: about what etcd appends to its log, as in the measuring that https://etcd.io/docs/v3.6/op-guide/hardware/#disks points to. */
const blockBytes = 2300;
const mostBlocks = 2000;

/**
 * Writes blocks to a new file in a folder and waits after each until it is on the disk, as etcd does with each change.
 * Returns the milliseconds of each; it takes `limit` milliseconds at most, and one block. The file has no name from its
 * first block on, so nothing is left even of a program that is killed. Throws where no file can be made there.
 */
export const flushTimes = async (folder: string, limit = 1000): Promise<readonly number[]> => {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const path = `${folder}/.hardway-${randomBytes(8).toString('hex')}`;
  const file = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    unlinkSync(path);
    const block = Buffer.alloc(blockBytes, 'hardway ');
    const times: number[] = [];
    const end = performance.now() + limit;
    while (performance.now() < end && times.length < mostBlocks) {
      const begin = performance.now();
      writeSync(file, block);
      fdatasyncSync(file); // not in the background: the time that Node takes to get to it would be measured too
      times.push(performance.now() - begin);
      await setImmediate();
    }
    return times;
  } finally {
    closeSync(file);
  }
};
