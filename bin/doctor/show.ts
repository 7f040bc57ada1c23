import type { Seen } from './judge.ts';

/** A look with what it has seen. */
export interface Result extends Seen {
  readonly name: string;
}

/** Returns a look as a person reads it: its line, then each finding with its cause and the command that helps. */
export const linesOf = ({ name, found, findings, unseen }: Result): string => {
  const state = findings.length > 0 ? 'WRONG' : unseen === undefined ? 'fine' : '??';
  const lines = [
    `${name.padEnd(10)} ${state.padEnd(5)} ${found}`.trimEnd(),
    ...findings.flatMap(({ problem, cause, hint }) => [`  ${problem}`, `    because: ${cause}`, `    -> ${hint}`]),
    ...(unseen === undefined ? [] : [`  could not be looked at: ${unseen}`]),
  ];
  return `${lines.join('\n')}\n`;
};

/** Returns what a look found for programs: a line of JSON for each finding, and for what could not be looked at. */
export const jsonLines = ({ name: look, findings, unseen }: Result): string =>
  [
    ...findings.map((finding) => ({ event: 'finding', look, ...finding })),
    ...(unseen === undefined ? [] : [{ event: 'finding', look, looked: false, reason: unseen }]),
  ]
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('');
