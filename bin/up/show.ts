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

/** Milliseconds between two lines about the same wait. */
const printIntervalMs = 5_000;

const plainLine = (event: RunEvent, dryRun: boolean): string | undefined => {
  switch (event.event) {
    case 'step':
      if (dryRun) return event.state === 'started' ? `${event.step}` : undefined;
      return event.state === 'started'
        ? undefined
        : `${event.step.padEnd(26)} ${event.state.padEnd(8)} ${event.seconds === undefined ? '' : seconds(event.seconds)}`.trimEnd();
    case 'waiting':
      return `${event.step.padEnd(26)} waiting: ${event.check}: ${event.reason.split('\n')[0]}`;
    case 'progress':
      return `${event.step.padEnd(26)} ${event.text}`;
    case 'observation':
      return observationLines(event).join('\n');
    case 'change':
      return dryRun ? `  ${event.what}` : undefined;
    case 'done':
      return undefined;
  }
};

/** Shows a run in lines: one a result, and one for a wait only when it lasts. */
export const asLines =
  ({ dryRun }: { dryRun: boolean }): Show =>
  (steps, start) => {
    let quietSince = performance.now();
    const run = start((event) => {
      const line = plainLine(event, dryRun);
      if (line === undefined) return;
      const now = performance.now();
      const lasting = event.event === 'waiting' || event.event === 'progress';
      if (lasting && now - quietSince < printIntervalMs) return;
      quietSince = now;
      process.stdout.write(`${line}\n`);
    });
    return oneAfterTheOther(steps, run);
  };

type Task = ListrTaskWrapper<unknown, never, never>;

/** Shows an event at the line of its step. */
const showAt = (task: Task, event: RunEvent): void => {
  if (event.event === 'waiting') task.output = `${event.check}: ${event.reason.split('\n')[0]}`;
  if (event.event === 'progress') task.output = event.text;
  if (event.event === 'observation') task.output = event.phrase;
  if (event.event !== 'step') return;
  if (event.state === 'skipped') task.title = `${task.title}  unchanged`;
  if (event.state === 'healthy') task.title = `${task.title}  ${seconds(event.seconds)}`;
};

/** Shows a run as a list that is redrawn: one line a step, below the current one what it waits for. */
export const asList: Show = async (steps, start) => {
  const { Listr } = await import('listr2');
  let current: Task | undefined;
  const shown = new Map<string, Task>();
  let failed: string | undefined;
  let failure: unknown;
  const run = start((event) => {
    if (event.event === 'step' && event.state === 'failed') failed = event.step;
    if (current) showAt(current, event);
  });
  const tasks = steps.map((step) => ({
    title: step.title,
    task: async (_: unknown, task: unknown) => {
      current = task as Task;
      shown.set(step.id, current);
      await run(step).catch((error: unknown) => {
        // A check that was put off to the end fails in the name of an earlier step, not of this one.
        const earlier = failed === undefined || failed === step.id ? undefined : shown.get(failed);
        if (!earlier) throw error;
        earlier.title = `${earlier.title}  FAILED`;
        failure = error;
      });
    },
  }));
  await new Listr(tasks, {
    registerSignalListeners: false,
    rendererOptions: {
      formatOutput: 'truncate',
      showErrorMessage: false,
      collapseErrors: false,
    },
  }).run();
  if (failure !== undefined) throw failure;
};
