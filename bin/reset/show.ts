import { styleText } from 'node:util';
import type { UndoEvent } from '../../lib/engine/gate.ts';
import { type Difference, formatDifference } from '../../lib/host/snapshot.ts';
import { asTyped } from '../typed.ts';

type Told = UndoEvent | ({ readonly event: 'difference' } & Difference);

/** Breaks a text into lines of 80 columns behind this indentation. */
const folded = (text: string, indentation: string): string =>
  [...text.matchAll(new RegExp(`\\S.{0,${79 - indentation.length}}(?= |$)`, 'g'))]
    .map(([line]) => `${indentation}${line}`)
    .join('\n');

/**
 * Shows a reset: in a dry run every stage with its reason and each change, else one line a stage, with the change or the
 * number of changes.
 */
export const openShow = ({
  json,
  dryRun,
}: {
  readonly json?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
}) => {
  const undone = new Map<string, string[]>();
  /** True while the stage that runs has said nothing. */
  let silent = true;
  const line = (text: string): void => {
    process.stdout.write(`${text}\n`);
  };
  const inLine = (event: Told): string | undefined => {
    switch (event.event) {
      case 'undo':
        return dryRun ? `    ${event.what}` : undefined;
      case 'kept':
        return `  kept: ${event.what}`;
      case 'failed':
        return `  NOT DONE: ${event.what}: ${event.reason}`;
      case 'difference':
        return `  ${formatDifference(event)}`;
    }
  };
  const tell = (event: Told): void => {
    silent = false;
    if (event.event === 'undo') undone.set(event.group, [...(undone.get(event.group) ?? []), event.what]);
    const text = json ? JSON.stringify(event) : inLine(event);
    if (text !== undefined) line(text);
  };
  /** Begins a stage: a dry run shows its name, and beneath why it stands there. */
  const beginStage = (name: string, why: string): void => {
    silent = true;
    if (dryRun && !json) line(`  ${name}\n${styleText('dim', folded(`(${why})`, '    '))}`);
  };
  /** Ends a stage. A dry run also names a stage that has nothing to do. */
  const endStage = (): void => {
    if (dryRun && !json && silent) line('    nothing to take back here');
  };
  const sum = (): void => {
    if (json || dryRun) return;
    for (const [group, [first = '', ...others]] of undone) {
      line(`  ${group.padEnd(32)} ${others.length === 0 ? first : others.length + 1}`);
    }
  };
  const say = (text: string): void => {
    if (!json) line(asTyped(text));
  };
  /** Prints the end of a reset that succeeded; bin/cli.ts prints that of one that failed. */
  const done = (seconds: number): void => {
    if (json) line(JSON.stringify({ event: 'done', ok: true, seconds }));
  };
  return { tell, beginStage, endStage, sum, done, line: say };
};
