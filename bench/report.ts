import type { BringUp, HardwayBringUp } from './bring-up.ts';

/** What must be reached. */
const targets = {
  ratio: 1.15,
  cpuSeconds: 3,
  peakMegabytes: 200,
  againSeconds: 3,
  backSeconds: 2,
  nextSeconds: 2,
  resetSeconds: 6,
} as const;

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
};

const rounded = (value: number): number => Math.round(value * 1000) / 1000;

/** Each step's median over the rounds; what the command took before, between and after them is `the rest`. */
const mediansOf = (runs: readonly BringUp[]): ReadonlyMap<string, number> => {
  const names = [...(runs[0]?.steps.keys() ?? [])];
  const rest = runs.map(({ seconds, steps }) => [...steps.values()].reduce((left, one) => left - one, seconds));
  return new Map([
    ...names.map((name) => [name, median(runs.map((run) => run.steps.get(name) ?? Number.NaN))] as const),
    ['the rest', median(rest)],
  ]);
};

export const report = (plain: readonly BringUp[], hardway: readonly HardwayBringUp[]) => {
  const seconds = { plain: plain.map((run) => run.seconds), hardway: hardway.map((run) => run.seconds) };
  const total = { plain: median(seconds.plain), hardway: median(seconds.hardway) };
  const each = { plain: mediansOf(plain), hardway: mediansOf(hardway) };
  const figures = {
    ratio: total.hardway / total.plain,
    cpuSeconds: median(hardway.map(({ cpuSeconds }) => cpuSeconds)),
    peakMegabytes: Math.max(...hardway.map(({ peakMegabytes }) => peakMegabytes)),
    againSeconds: median(hardway.map(({ again }) => again.seconds)),
    backSeconds: median(hardway.map(({ backSeconds }) => backSeconds)),
    nextSeconds: median(hardway.map(({ nextSeconds }) => nextSeconds)),
    resetSeconds: median(hardway.map(({ resetSeconds }) => resetSeconds)),
  };
  const touched = [...new Set(hardway.flatMap(({ again }) => again.touched))];

  // hardway imports images while the next components start: only the plain bring-up has a step for it.
  const rows = [...each.hardway.keys()].flatMap((id) => (id === 'containerd' ? [id, 'images'] : [id]));

  const cell = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(2)).padStart(9);
  const row = (name: string, one: number | undefined, other: number | undefined): string =>
    `${name.padEnd(26)}${cell(one)}${cell(other)}${one !== undefined && other !== undefined ? cell(other - one) : ''}`;
  const judged = (words: string, figure: keyof typeof targets, digits: number): string => {
    const met = figures[figure] <= targets[figure];
    return `${words.padEnd(38)}${figures[figure].toFixed(digits).padStart(7)}   at most ${targets[figure]}${met ? '' : ': MISSED'}`;
  };
  const all = (values: readonly number[]): string => values.map((value) => value.toFixed(1)).join('  ');

  const table = [
    `seconds, medians of ${plain.length}            plain  hardway  difference`,
    ...rows.map((name) => row(name, each.plain.get(name), each.hardway.get(name))),
    row('command to end', total.plain, total.hardway),
    '',
    `each run: plain ${all(seconds.plain)} | hardway ${all(seconds.hardway)}`,
    '',
    judged('hardway : plain, ratio of medians', 'ratio', 2),
    judged("hardway's own CPU time, s", 'cpuSeconds', 2),
    judged("hardway's peak memory, MB", 'peakMegabytes', 0),
    judged('hardway up once more, healthy lab, s', 'againSeconds', 2),
    `${'what that touched'.padEnd(38)}${touched.length === 0 ? 'nothing'.padStart(7) : `${touched.length} changes: MISSED`}`,
    ...touched.map((what) => `  ${what}`),
    judged('back of the scheduler, s', 'backSeconds', 2),
    judged('the scheduler again, s', 'nextSeconds', 2),
    judged('reset of a lab with ten more Pods, s', 'resetSeconds', 2),
  ];
  const json = {
    ...Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, rounded(value)])),
    touched,
    seconds: { plain: seconds.plain.map(rounded), hardway: seconds.hardway.map(rounded) },
    steps: {
      plain: Object.fromEntries([...each.plain].map(([name, value]) => [name, rounded(value)])),
      hardway: Object.fromEntries([...each.hardway].map(([name, value]) => [name, rounded(value)])),
    },
  };
  return { table, json };
};
