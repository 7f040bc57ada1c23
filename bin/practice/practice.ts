import type { Exercise } from '../../exercises/exercise.ts';
import { exercises } from '../../exercises/index.ts';
import { type Check, check, type Failure, runChecks } from '../../lib/engine/check.ts';
import { Bug, reasonOf, Unhealthy, UserError } from '../../lib/engine/errors.ts';
import { openLedger } from '../../lib/engine/ledger.ts';
import { withLock } from '../../lib/engine/lock.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import type { State } from '../../lib/engine/state.ts';
import type { Context } from '../../lib/engine/step.ts';
import { type Language, languageOf } from '../../lib/engine/text.ts';
import { statIfThere } from '../../lib/host/files.ts';
import { createHosts } from '../../lib/host/host.ts';
import { paths } from '../../lib/host/paths.ts';
import { stepsWith } from '../../steps/index.ts';
import { Interrupted, interruptible } from '../interrupt.ts';
import { exercisePrefix, requireLab, runningExercise } from '../lab.ts';
import { readRecord, saveDone, saveGuess } from '../teach/record.ts';
import { asTyped } from '../typed.ts';
import { labels } from './labels.ts';
import { clusterIsSpared, filesAreSpared, saveBaseline } from './spared.ts';
import { takeBack } from './take-back.ts';

export interface PracticeOptions {
  readonly lang?: string;
  readonly json?: boolean;
}

/** Name in the learner's record, beside the steps. */
const group = 'practice';
/** Written last: without it the start was interrupted. */
const ready = `${paths.practice}/ready`;
/** Milliseconds that a check of an exercise may take: it waits for a new Pod. */
const limitMs = 40_000;

const say = (text: string): void => void process.stdout.write(asTyped(`${text}\n`));

/** Holds the lock for as long as `work` goes on, which Ctrl-C interrupts. */
const locked = <T>(next: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> =>
  withLock(paths.lock, () => interruptible(next, work));

const ids = exercises.map(({ id }) => id);

/** Finds an exercise. Throws UserError that names the nearest one. */
const byId = (id: string): Exercise => {
  const known = parseChoice('exercise', ids, id);
  const found = exercises.find((one) => one.id === known);
  if (!found) throw new Bug(`${known} was found and is not there`);
  return found;
};

/** Returns the exercise that runs. Throws UserError where none does, or its start was interrupted. */
const current = async (): Promise<{ readonly state: State; readonly exercise: Exercise }> => {
  const state = await requireLab();
  const id = await runningExercise();
  if (id === undefined) throw new UserError('no exercise runs in this lab', 'hardway practice start ID');
  const exercise = byId(id);
  if (!(await statIfThere(ready)))
    throw new UserError(`the start of the exercise ${id} was interrupted`, 'hardway practice give-up');
  return { state, exercise };
};

const contextOf = ({ lab }: State): Context => readOnlyContext(lab, stepsWith(lab));

/** Tells whether nobody could look, as the API server does not answer. */
const isBlind = ({ blind, reason }: Failure): boolean =>
  blind === true || /ECONNREFUSED 127\.0\.0\.1:6443|ECONNRESET/.test(reason);

/** Lists the exercises, with those that were done. */
export const list = async ({ lang, json }: PracticeOptions): Promise<void> => {
  await requireLab();
  const language = languageOf(lang);
  const label = labels[language];
  const done = (await readRecord(paths.learner)).done[group] ?? [];
  const running = await runningExercise();
  for (const { id, title, topics, level, minutes } of exercises) {
    const row = {
      id,
      title: title[language],
      topics,
      level,
      minutes,
      done: done.includes(id),
      running: id === running,
    };
    const facts = `${topics.join(', ')} · ${level} · ${minutes} min`;
    say(json ? JSON.stringify(row) : `${row.done ? '✓' : '·'} ${id.padEnd(16)} ${row.title}\n  ${facts}`);
  }
  if (json) return;
  say(`${label.points(done.length, exercises.length)}\n${running ? label.runs(running) : label.start}`);
};

/** Throws UserError where the lab is not whole and healthy, or is not of the kind that the exercise needs. */
const requireFit = async (state: State, { id, cni }: Exercise): Promise<void> => {
  const { lab, steps: applied } = state;
  const steps = stepsWith(lab);
  const missing = steps.find((step) => !(step.id in applied));
  if (missing) throw new UserError(`the lab is not whole: ${missing.id} is not applied yet`, 'hardway up');
  if (lab.supervisor !== 'systemd')
    throw new UserError(`this lab runs in ${lab.supervisor}, an exercise needs systemd`);
  if (cni && lab.cni !== cni)
    throw new UserError(`the exercise ${id} needs the network ${cni}, this lab has ${lab.cni}`, 'hardway practice');
  const found = await Promise.all(steps.map((step) => runChecks(step.checks, contextOf(state))));
  const [failure] = found.flat();
  if (failure)
    throw new UserError(`the lab is not healthy before the start: ${failure.phrase}: ${failure.reason}`, 'hardway up');
};

const prepare = async (state: State, exercise: Exercise, signal: AbortSignal): Promise<void> => {
  const ledger = openLedger(paths.ledger);
  const record = ledger.append.bind(undefined, `${exercisePrefix}${exercise.id}`);
  const host = createHosts({ dryRun: false, owned: new Set() })({ record, tell: () => {} }, signal);
  const context: Context = { ...contextOf(state), host, signal };
  try {
    await host.makeDir(paths.practice, 0o700);
    await saveBaseline(context, exercise);
    await exercise.prepare(context);
    const failures = await runChecks(checksOf(exercise, 'en'), context, { signal, limitMs });
    if (failures.length === 0) throw new Error('the fault shows no symptom');
    await host.writeFile(ready, `${exercise.id}\n`, 0o600);
  } finally {
    ledger.close();
  }
};

/** Returns what must be true when an exercise is repaired, as checks in a language. */
const checksOf = ({ solved }: Exercise, language: Language): readonly Check<Context>[] =>
  solved.map(({ phrase, probe }) => check(phrase[language], probe));

/** Chooses an exercise that was not done yet. Throws UserError where no exercise has this topic and level. */
const choose = async ({ topic, level }: StartOptions): Promise<Exercise> => {
  const fits = exercises.filter(
    (one) => (!topic || one.topics.includes(topic)) && (!level || one.level === Number(level)),
  );
  const done = (await readRecord(paths.learner)).done[group] ?? [];
  const fresh = fits.filter(({ id }) => !done.includes(id));
  const from = fresh.length > 0 ? fresh : fits;
  const found = from[Math.floor(Math.random() * from.length)];
  if (found) return found;
  throw new UserError(`no exercise has ${[topic, level].filter(Boolean).join(' and level ')}`, 'hardway practice');
};

interface StartOptions extends PracticeOptions {
  readonly random?: boolean;
  readonly topic?: string;
  readonly level?: string;
}

/** Makes the fault of an exercise and shows its ticket. What was changed is taken back where that fails. */
export const start = async (id: string | undefined, options: StartOptions): Promise<void> => {
  const state = await requireLab();
  if (id === undefined && !options.random)
    throw new UserError('practice start needs an exercise', 'hardway practice start pending, or --random');
  const exercise = id === undefined ? await choose(options) : byId(id);
  await locked('hardway practice', async (signal) => {
    const running = await runningExercise();
    if (running) throw new UserError(`the exercise ${running} runs`, 'hardway practice give-up takes it back');
    await requireFit(state, exercise);
    const label = labels[languageOf(options.lang)];
    process.stderr.write(`${label.preparing}\n`);
    try {
      await prepare(state, exercise, signal);
    } catch (error) {
      await takeBack(state, exercise.restarts, new AbortController().signal).catch((reason: unknown) => {
        throw signal.aborted ? new Interrupted('hardway practice give-up', `interrupted; ${reasonOf(reason)}`) : reason;
      });
      throw signal.aborted ? new Interrupted(`hardway practice start ${exercise.id}`, label.takenBack) : error;
    }
  });
  await task(options);
};

/** Shows the ticket of the exercise that runs. */
export const task = async ({ lang }: PracticeOptions): Promise<void> => {
  const { exercise } = await current();
  const language = languageOf(lang);
  say(`${exercise.title[language]}\n\n${exercise.ticket[language]}\n\n${labels[language].how}`);
};

const row = (phrase: string, failure: Failure | undefined, blind: string): string => {
  if (!failure) return `✓ ${phrase}`;
  return isBlind(failure) ? `? ${phrase}\n  ${blind}${failure.reason}` : `✗ ${phrase}\n  ${failure.reason}`;
};

const jsonRow = (phrase: string, failure: Failure | undefined): string =>
  JSON.stringify({
    check: phrase,
    ok: !failure,
    reason: failure?.reason, // absent where it is undefined
    ...(failure && isBlind(failure) && { looked: false }),
  });

/** Marks the exercise that runs. Throws Unhealthy where it is not solved, or nobody could look. */
export const checkExercise = async ({ lang, json }: PracticeOptions): Promise<void> => {
  const { state, exercise } = await current();
  const language = languageOf(lang);
  const label = labels[language];
  const all = [
    ...checksOf(exercise, language),
    check(label.files, filesAreSpared),
    check(label.cluster, clusterIsSpared),
  ];
  const failures = await locked('hardway practice check', (signal) =>
    runChecks(all, contextOf(state), { signal, limitMs }),
  );
  for (const { phrase } of all) {
    const failure = failures.find((one) => one.phrase === phrase);
    say(json ? jsonRow(phrase, failure) : row(phrase, failure, label.blind));
  }
  if (failures.length > 0) {
    const what = failures.every(isBlind) ? 'it could not be looked at' : 'it is not solved yet';
    throw new Unhealthy(what, { next: 'hardway practice hint' });
  }
  await saveDone(paths.learner, group, exercise.id);
  if (!json) say(`\n${label.solved} ${exercise.explanation[language]}\n\nnext: hardway practice give-up`);
};

/** Shows the next hint of the exercise that runs. */
export const hint = async ({ lang }: PracticeOptions): Promise<void> => {
  const { state, exercise } = await current();
  const language = languageOf(lang);
  const hints = await exercise.hints(contextOf(state));
  const shown = (await readRecord(paths.learner)).guesses[`${group} ${exercise.id}`] ?? 0;
  const next = hints[Math.min(shown, hints.length - 1)];
  if (next) say(`${Math.min(shown + 1, hints.length)}/${hints.length} ${next[language]}`);
  if (shown >= hints.length) say(labels[language].noMore);
  await saveGuess(paths.learner, `${group} ${exercise.id}`, shown + 1);
};

/** Shows the commands of one way to repair it, and the explanation. */
export const solution = async ({ lang }: PracticeOptions): Promise<void> => {
  const { exercise } = await current();
  say(`${exercise.solution.join('\n')}\n\n${exercise.explanation[languageOf(lang)]}`);
};

/** Takes the exercise back, whether it was solved or not. */
export const giveUp = async ({ lang }: PracticeOptions): Promise<void> => {
  const state = await requireLab();
  await locked('hardway practice give-up', async (signal) => {
    const id = await runningExercise();
    if (id === undefined) throw new UserError('no exercise runs in this lab', 'hardway practice start ID');
    await takeBack(state, byId(id).restarts, signal);
    await saveGuess(paths.learner, `${group} ${id}`, 0);
  });
  say(labels[languageOf(lang)].back);
};
