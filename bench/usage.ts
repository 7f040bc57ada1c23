// Loaded into the measured program with --import: when it ends it leaves what it used itself, without its children.
import { writeFileSync } from 'node:fs';
import process, { cpuUsage, env, resourceUsage } from 'node:process';

process.once('exit', () => {
  const { user, system } = cpuUsage(); // microseconds, all threads
  const usage = { cpuSeconds: (user + system) / 1e6, peakMegabytes: (resourceUsage().maxRSS * 1024) / 1e6 };
  writeFileSync(env['HARDWAY_BENCH_USAGE'] ?? '/dev/stderr', JSON.stringify(usage));
});
