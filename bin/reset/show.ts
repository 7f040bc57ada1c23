import type { UndoEvent } from '../../lib/engine/gate.ts';
import { type Difference, formatDifference } from '../../lib/host/snapshot.ts';

type Told = UndoEvent | ({ readonly event: 'difference' } & Difference);

/** Shows a reset: in a dry run every stage with all that it would do, else what each did, or how much where it was several. */
export const openShow = ({
  json,
  dryRun,
}: {
  readonly json?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
}) => {
  const undone = new Map<string, string[]>();
  const line = (text: string): void => {
    process.stdout.write(`${text}\n`);
  };
  const inLine = (event: Told): string | undefined => {
    switch (event.event) {
      case 'undo':
        return dryRun ? `  ${event.group}: ${event.what}` : undefined;
      case 'kept':
        return `  kept: ${event.what}`;
      case 'failed':
        return `  NOT DONE: ${event.what}: ${event.reason}`;
      case 'difference':
        return `  ${formatDifference(event)}`;
    }
  };
  const tell = (event: Told): void => {
    if (event.event === 'undo') undone.set(event.group, [...(undone.get(event.group) ?? []), event.what]);
    const text = json ? JSON.stringify(event) : inLine(event);
    if (text !== undefined) line(text);
  };
  /** Ends a stage: one that has nothing to do on this machine is named in a dry run all the same. */
  const endStage = (name: string): void => {
    if (dryRun && !json && !undone.has(name)) line(`  ${name}: nothing to take back here`);
  };
  const sum = (): void => {
    if (json || dryRun) return;
    for (const [group, [first = '', ...others]] of undone) {
      line(`  ${group.padEnd(32)} ${others.length === 0 ? first : others.length + 1}`);
    }
  };
  const say = (text: string): void => {
    if (!json) line(text);
  };
  /** Ends what went well; bin/cli.ts ends what did not. */
  const done = (seconds: number): void => {
    if (json) line(JSON.stringify({ event: 'done', ok: true, seconds }));
  };
  return { tell, endStage, sum, done, line: say };
};
