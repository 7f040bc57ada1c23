import { reasonOf } from '../../lib/engine/errors.ts';
import type { Task } from '../../lib/engine/step.ts';
import { paths } from '../../lib/host/paths.ts';
import { labels } from './labels.ts';
import type { Lesson } from './lesson.ts';
import { wrapped } from './pages.ts';
import type { Pause } from './reading.ts';
import { readRecord, saveDone } from './record.ts';
import { openTickingShell } from './terminal.ts';
import { isDone } from './views.ts';

/** Marks the tasks of a step that are done by what is true on the machine. Returns a sign for each task. */
export const markStates = async ({ step, context }: Pause): Promise<string> => {
  let record = await readRecord(paths.learner);
  const tasks = step.teaching?.tasks ?? [];
  for (const task of tasks) {
    if (task.kind !== 'state' || isDone(record, step.id, task)) continue;
    if (!(await task.mark(context).catch(() => ({ done: false }))).done) continue;
    await saveDone(paths.learner, step.id, task.id);
    record = await readRecord(paths.learner);
  }
  return tasks.map((task) => (isDone(record, step.id, task) ? '✓' : '·')).join('');
};

/** Asks for the answer to the first task that wants one and has none. */
export const typeAnswer = async ({ step, context, language, screens }: Pause): Promise<string> => {
  const label = labels[language];
  const record = await readRecord(paths.learner);
  const task = step.teaching?.tasks?.find((one) => one.kind === 'answer' && !isDone(record, step.id, one));
  if (!task) return label.noTask;
  const typed = (await screens.ask(`${task.text[language]}\n> `))?.trim();
  if (!typed) return '';
  try {
    const { done } = await task.mark(context, typed);
    if (!done) return label.wrong(task.hint);
    await saveDone(paths.learner, step.id, task.id);
    return label.right;
  } catch (error) {
    context.signal.throwIfAborted();
    return label.couldNotLook(reasonOf(error).replaceAll('\n', ' '));
  }
};

/** Opens a shell with the commands of a step in its history; tasks are marked as long as it is open. */
export const openStepShell = async (pause: Pause, lesson: Lesson): Promise<void> => {
  const { step, language } = pause;
  const label = labels[language];
  const commands = [...step.observations.map(({ command }) => command), ...lesson.trials.map(({ command }) => command)];
  const tasks = (step.teaching?.tasks ?? []).map(({ text }: Task) => wrapped(text[language], 2));
  const told = [
    wrapped(label.shellWords, 0),
    ...(tasks.length > 0 ? [label.shellTasks, ...tasks] : []),
    ...lesson.trials.map(({ command }) => `  $ ${command}`),
  ].join('\n');
  await openTickingShell({ history: commands.toReversed(), words: told, language }, () => markStates(pause));
};
