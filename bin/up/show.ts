import type { ListrTaskWrapper } from 'listr2';
import type { RunEvent, Tell } from '../../lib/engine/events.ts';
import type { LabStep } from '../../lib/engine/step.ts';
import { observationLines } from '../teach/observe.ts';

/** Prepares a run that reports its events to `tell`; the returned function brings up one step. */
export type Start = (tell: Tell) => (step: LabStep) => Promise<void>;

/** Shows a run: a list that is redrawn on a terminal, lines elsewhere, JSON for programs. */
export type Show = (steps: readonly LabStep[], start: Start) => Promise<void>;

const seconds = (value: number | undefined): string =>
  `${(value ?? 0).toFixed(value !== undefined && value < 10 ? 2 : 0)} s`;

const oneAfterTheOther = async (steps: readonly LabStep[], run: (step: LabStep) => Promise<void>): Promise<void> => {
  for (const step of steps) await run(step);
};

/** Prints an event as one line of JSON. */
export const printJson: Tell = (event) => {
  process.stdout.write(`${JSON.stringify(event)}\n`);
};

export const asJson: Show = (steps, start) => oneAfterTheOther(steps, start(printJson));

/** Milliseconds between two lines about a step that lasts. */
const printIntervalMs = 15_000;

/** Returns what a step says of itself while it lasts; undefined for an event that is not about that. */
const lastingWords = (event: RunEvent): string | undefined => {
  if (event.event === 'waiting') return `waiting: ${event.check}: ${event.reason.split('\n')[0]}`;
  return event.event === 'progress' ? event.text : undefined;
};

const plainLine = (event: RunEvent, dryRun: boolean): string | undefined => {
  switch (event.event) {
    case 'step':
      if (dryRun) return event.state === 'started' ? `${event.step}` : undefined;
      return event.state === 'started'
        ? undefined
        : `${event.step.padEnd(26)} ${event.state.padEnd(8)} ${event.seconds === undefined ? '' : seconds(event.seconds)}`.trimEnd();
    case 'observation':
      return observationLines(event).join('\n');
    case 'change':
      return dryRun ? `  ${event.what}` : undefined;
    default:
      return undefined;
  }
};

/** The step that is being taken: when it was started, and what it last said of itself. */
interface Current {
  readonly step: string;
  readonly since: number;
  readonly words: string;
}

/** Shows a run in lines: one a result, and one every fifteen seconds for a step that lasts, with its seconds. */
export const asLines =
  ({ dryRun }: { dryRun: boolean }): Show =>
  async (steps, start) => {
    let current: Current | undefined;
    const follow = (event: RunEvent): void => {
      if (event.event === 'step')
        current = event.state === 'started' ? { step: event.step, since: performance.now(), words: '' } : undefined;
      const words = lastingWords(event);
      if (words !== undefined && current) current = { ...current, words };
    };
    const timer = setInterval(() => {
      if (!current) return;
      const lasted = `${Math.round((performance.now() - current.since) / 1000)} s`.padEnd(8);
      const line = `${current.step.padEnd(26)} ${lasted} ${current.words}`;
      process.stdout.write(`${line.trimEnd()}\n`);
    }, printIntervalMs);
    const run = start((event) => {
      follow(event);
      const line = plainLine(event, dryRun);
      if (line !== undefined) process.stdout.write(`${line}\n`);
    });
    try {
      await oneAfterTheOther(steps, run);
    } finally {
      clearInterval(timer);
    }
  };

type Task = ListrTaskWrapper<unknown, never, never>;

/** A step on the screen: its line, the title without the seconds, and when it was started. */
interface Shown {
  readonly task: Task;
  readonly title: string;
  readonly since: number;
}

/** Shows an event at the line of its step. */
const showAt = ({ task, title }: Shown, event: RunEvent): void => {
  if (event.event === 'waiting') task.output = `${event.check}: ${event.reason.split('\n')[0]}`;
  if (event.event === 'progress') task.output = event.text;
  if (event.event === 'observation') task.output = event.phrase;
  if (event.event !== 'step') return;
  if (event.state === 'skipped') task.title = `${title}  unchanged`;
  if (event.state === 'healthy') task.title = `${title}  ${seconds(event.seconds)}`;
};

/** Shows a run as a list that is redrawn: one line a step with its seconds, below the current one what it waits for. */
export const asList: Show = async (steps, start) => {
  const { Listr } = await import('listr2');
  let current: Shown | undefined;
  const shown = new Map<string, Shown>();
  let failed: string | undefined;
  let failure: unknown;
  const run = start((event) => {
    if (event.event === 'step' && event.state === 'failed') failed = event.step;
    if (current) showAt(current, event);
  });
  const tasks = steps.map((step) => ({
    title: step.title,
    task: async (_: unknown, task: unknown) => {
      const line = { task: task as Task, title: step.title, since: performance.now() };
      current = line;
      shown.set(step.id, line);
      await run(step).catch((error: unknown) => {
        // A check that was put off to the end fails in the name of an earlier step, not of this one.
        const earlier = failed === undefined || failed === step.id ? undefined : shown.get(failed);
        if (!earlier) throw error;
        earlier.task.title = `${earlier.title}  FAILED`;
        failure = error;
      });
      if (current === line) current = undefined;
    },
  }));
  const timer = setInterval(() => {
    if (current) current.task.title = `${current.title}  ${Math.round((performance.now() - current.since) / 1000)} s`;
  }, 1000);
  try {
    await new Listr(tasks, {
      registerSignalListeners: false,
      rendererOptions: {
        formatOutput: 'truncate',
        showErrorMessage: false,
        collapseErrors: false,
      },
    }).run();
  } finally {
    clearInterval(timer);
  }
  if (failure !== undefined) throw failure;
};
