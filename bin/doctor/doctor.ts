import { within } from '../../lib/engine/check.ts';
import { sentenceOf, Unhealthy, UserError } from '../../lib/engine/errors.ts';
import { printJson } from '../up/show.ts';
import type { Finding } from './judge.ts';
import { type Look, looks, type Subject, subjectNow } from './looks.ts';
import { redacted } from './redact.ts';
import { reportTo } from './report.ts';
import { jsonLines, linesOf, type Result } from './show.ts';

/** Milliseconds that all looks have, side by side. */
const limitMs = 5000;

const withoutSecrets = ({ found, findings, unseen, name }: Result): Result => ({
  name,
  found: redacted(found),
  findings: findings.map(({ problem, cause, hint }) => ({
    problem: redacted(problem),
    cause: redacted(cause),
    hint,
  })),
  ...(unseen !== undefined && { unseen: redacted(unseen) }),
});

/** Makes one look. A refusal is a finding; anything else that is thrown says that nobody could look. */
const lookOnce = async ({ name, look }: Look, subject: Subject, outer: AbortSignal): Promise<Result> => {
  try {
    return { name, ...(await within((signal) => look(subject, signal), { limitMs, outer })) };
  } catch (error) {
    if (!(error instanceof UserError)) return { name, found: '', findings: [], unseen: sentenceOf(error) };
    const [problem = '', ...rest] = error.message.split('\n');
    const cause = rest.map((line) => line.trim()).join('; ') || 'every command that needs it refuses it';
    return { name, found: problem, findings: [{ problem, cause, hint: error.next ?? 'hardway up says more' }] };
  }
};

/** Returns the findings of all looks, each problem once: several looks may need the same file. */
const onceEach = (results: readonly Result[]): readonly Result[] => {
  const told = new Set<string>();
  const isNew = ({ problem }: Finding): boolean => !told.has(problem) && Boolean(told.add(problem));
  return results.map((result) => ({ ...result, findings: result.findings.filter(isNew) }));
};

/** Makes every look, all at once. */
export const lookAtAll = async (
  subject: Subject,
  signal: AbortSignal,
  all: readonly Look[] = looks,
): Promise<readonly Result[]> =>
  onceEach((await Promise.all(all.map((look) => lookOnce(look, subject, signal)))).map(withoutSecrets));

const counted = (count: number, one: string, many: string): readonly string[] =>
  count === 0 ? [] : [count === 1 ? one : `${count} ${many}`];

/** Throws Unhealthy where something is wrong, or could not be looked at. */
const requireFine = (results: readonly Result[]): void => {
  const findings = results.flatMap((result) => result.findings);
  const blind = results.filter(({ unseen }) => unseen !== undefined);
  const words = [
    ...counted(findings.length, 'one thing is wrong', 'things are wrong'),
    ...counted(blind.length, 'one look could not be made, or not whole', 'looks could not be made, or not whole'),
  ];
  if (words.length === 0) return;
  const next =
    findings.length > 0
      ? 'the command behind each ->, then hardway doctor again'
      : 'mend that, then hardway doctor again';
  throw new Unhealthy(words.join(', '), { next });
};

/** Ends the program soon even where a look that was given up still waits for something. */
const endSoon = (): void => {
  setTimeout(() => process.exit(), 500).unref();
};

/**
 * Looks at all of this machine and shows what is wrong; with `report` writes that file too. Changes nothing. Throws
 * Unhealthy where something is wrong or could not be looked at, and UserError for a report that cannot be written.
 */
export const doctor = async ({ json, report }: { json?: boolean; report?: string }): Promise<void> => {
  const seconds = (): number => Math.round(performance.now()) / 1000; // since the start of the program
  const write = report === undefined ? undefined : await reportTo(report);
  const ending = new AbortController();
  const subject = await subjectNow(ending.signal);
  const results = await lookAtAll(subject, ending.signal);
  process.stdout.write(results.map(json ? jsonLines : linesOf).join(''));
  const written = await write?.(subject, results);
  if (written !== undefined) process.stderr.write(`the report is in ${written}: look into it before you hand it on\n`);
  ending.abort(new Error('every look has ended'));
  endSoon();
  requireFine(results);
  if (json) printJson({ event: 'done', ok: true, seconds: seconds() });
  else process.stdout.write('\nnothing is wrong\n');
};
