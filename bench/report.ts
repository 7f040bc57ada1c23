import type { BringUp, HardwayBringUp } from './bring-up.ts';

/** What must be reached: by the median, or of a bring-up also by the slowest round. */
const targets = {
  ratio: 0.7,
  slowest: 1.15,
  cpuSeconds: 2,
  peakMegabytes: 200,
  againSeconds: 0.6,
  backSeconds: 0.7,
  nextSeconds: 0.8,
  resetSeconds: 1.8,
  hundredSeconds: 4,
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

/** The median of a figure over the rounds, and the slowest of them. */
interface Figure {
  readonly median: number;
  readonly slowest: number;
}

const figure = (values: readonly number[]): Figure => ({ median: median(values), slowest: Math.max(...values) });

const figuresOf = (plain: readonly BringUp[], hardway: readonly HardwayBringUp[]) => {
  const total = {
    plain: figure(plain.map(({ seconds }) => seconds)),
    hardway: figure(hardway.map((run) => run.seconds)),
  };
  const of = (value: (run: HardwayBringUp) => number): Figure => figure(hardway.map(value));
  const judged: Readonly<Record<keyof typeof targets, Figure>> = {
    ratio: { median: total.hardway.median / total.plain.median, slowest: total.hardway.slowest / total.plain.slowest },
    slowest: {
      median: total.hardway.slowest / total.hardway.median,
      slowest: total.hardway.slowest / total.hardway.median,
    },
    cpuSeconds: of((run) => run.cpuSeconds),
    peakMegabytes: of((run) => run.peakMegabytes),
    againSeconds: of(({ again }) => again.seconds),
    backSeconds: of((run) => run.backSeconds),
    nextSeconds: of((run) => run.nextSeconds),
    resetSeconds: of((run) => run.resetSeconds),
    hundredSeconds: of((run) => run.hundredSeconds),
  };
  return { total, judged };
};

/** What is judged, in words, and how many digits it is shown with. */
const lines: readonly (readonly [string, keyof typeof targets, number])[] = [
  ['hardway : plain', 'ratio', 2],
  ['slowest bring-up : median', 'slowest', 2],
  ["hardway's own CPU time, s", 'cpuSeconds', 2],
  ["hardway's peak memory, MB", 'peakMegabytes', 0],
  ['hardway up once more, healthy lab, s', 'againSeconds', 2],
  ['back of the scheduler, s', 'backSeconds', 2],
  ['the scheduler again, s', 'nextSeconds', 2],
  ['reset of a lab with 10 more Pods, s', 'resetSeconds', 2],
  ['reset of a lab with 100 more Pods, s', 'hundredSeconds', 2],
];

const cell = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(2)).padStart(9);

/** The report as lines for a person, and as one object for a program. */
export const report = (plain: readonly BringUp[], hardway: readonly HardwayBringUp[]) => {
  const { total, judged } = figuresOf(plain, hardway);
  const each = { plain: mediansOf(plain), hardway: mediansOf(hardway) };
  const touched = [...new Set(hardway.flatMap(({ again }) => again.touched))];
  // hardway imports images while the next components start: only the plain bring-up has a step for it.
  const rows = [...each.hardway.keys()].flatMap((id) => (id === 'containerd' ? [id, 'images'] : [id]));

  const row = (name: string, one: number | undefined, other: number | undefined): string =>
    `${name.padEnd(26)}${cell(one)}${cell(other)}${one !== undefined && other !== undefined ? cell(other - one) : ''}`;
  const all = (runs: readonly BringUp[]): string => runs.map(({ seconds }) => seconds.toFixed(1)).join('  ');
  const table = [
    `seconds, medians of ${String(plain.length).padEnd(6)}    plain  hardway  difference`,
    ...rows.map((name) => row(name, each.plain.get(name), each.hardway.get(name))),
    row('command to end', total.plain.median, total.hardway.median),
    row('command to end, slowest', total.plain.slowest, total.hardway.slowest),
    '',
    `each run: plain ${all(plain)} | hardway ${all(hardway)}`,
    '',
    `${''.padEnd(38)}${'median'.padStart(8)}${'slowest'.padStart(9)}   at most`,
    ...lines.map(([words, name, digits]) => {
      const { median: middle, slowest } = judged[name];
      const missed = middle > targets[name] ? ': MISSED' : '';
      return `${words.padEnd(38)}${middle.toFixed(digits).padStart(8)}${slowest.toFixed(digits).padStart(9)}   ${targets[name]}${missed}`;
    }),
    `${'what the second up touched'.padEnd(38)}${touched.length === 0 ? 'nothing' : `${touched.length} changes: MISSED`}`,
    ...touched.map((what) => `  ${what}`),
  ];
  const plainly = (figures: ReadonlyMap<string, number>) =>
    Object.fromEntries([...figures].map(([name, value]) => [name, rounded(value)]));
  const json = {
    figures: Object.fromEntries(
      Object.entries(judged).map(([name, { median: middle, slowest }]) => [
        name,
        { median: rounded(middle), slowest: rounded(slowest) },
      ]),
    ),
    touched,
    seconds: { plain: plain.map((run) => rounded(run.seconds)), hardway: hardway.map((run) => rounded(run.seconds)) },
    steps: { plain: plainly(each.plain), hardway: plainly(each.hardway) },
  };
  return { table, json };
};
