import { parseArgs } from 'node:util';
import { exampleLab } from '../lib/engine/lab.ts';
import { needsOf } from '../lib/engine/step.ts';
import { paths } from '../lib/host/paths.ts';
import { run } from '../lib/host/run.ts';
import { fillCache } from '../lib/vm/fill.ts';
import { stepsWith } from '../steps/index.ts';
import { type BringUp, type HardwayBringUp, hardway, plain } from './bring-up.ts';
import { report } from './report.ts';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const roundsIn = (args: readonly string[]): number => {
  try {
    const { values } = parseArgs({ args: [...args], options: { rounds: { type: 'string', default: '3' } } });
    const rounds = Number(values.rounds);
    if (Number.isInteger(rounds) && rounds >= 1) return rounds;
    say(`--rounds ${values.rounds}: it is a whole number from 1 on\nnext: bench/run --rounds 3`);
  } catch (error) {
    say(`${error instanceof Error ? error.message : error}\nnext: bench/run --rounds 3`);
  }
  return process.exit(2);
};

const rounds = roundsIn(process.argv.slice(2));
await fillCache({ needs: needsOf(stepsWith(exampleLab)) }, say);
// Into the memory of the machine, so that the first run does not pay for reading the disk.
await run('sh', ['-c', 'cat "$0"/bin/*/*/* "$0"/images/*/* >/dev/null', paths.cache], { timeout: 600_000 });

const plainRuns: BringUp[] = [];
const hardwayRuns: HardwayBringUp[] = [];
for (let round = 1; round <= rounds; round += 1) {
  // In turn, so that what else the machine does falls on both.
  const one = await plain();
  const other = await hardway();
  plainRuns.push(one);
  hardwayRuns.push(other);
  say(`round ${round} of ${rounds}: plain ${one.seconds.toFixed(1)} s, hardway ${other.seconds.toFixed(1)} s`);
}

const { table, json } = report(plainRuns, hardwayRuns);
for (const line of table) console.log(line);
console.log(JSON.stringify(json));
