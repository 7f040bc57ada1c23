import { setTimeout as sleep } from 'node:timers/promises';
import { diffSnapshots, formatDifference, takeSnapshot } from '../../lib/host/snapshot.ts';

// Started inside a VM with a number of seconds: prints how the machine differs after them, a line a difference.
const covered = { homes: ['/root'] };
const before = await takeSnapshot(covered);
await sleep(Number(process.argv[2]) * 1000);
console.log(
  diffSnapshots(before, await takeSnapshot(covered))
    .map(formatDifference)
    .join('\n'),
);
