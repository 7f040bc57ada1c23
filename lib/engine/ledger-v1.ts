import type { Change, Deed, Undo } from '../host/change.ts';

/** A change as hardway 0.1 recorded it: a sentence says what was done, and the undo of a command is a command. */
export interface ChangeV1 {
  readonly what: string;
  readonly undo: Extract<Undo, { kind: 'remove' | 'remove-tree' | 'restore' | 'run' }>;
}

/** Parses the words of a command that `quoted` wrote. */
const wordsOf = (line: string): readonly string[] =>
  [...line.matchAll(/(?:'[^']*'|\\'|[^\s'\\])+/g)].map(([word]) =>
    word.replaceAll(/'([^']*)'|\\'/g, (found, inner?: string) => inner ?? (found === "\\'" ? "'" : '')),
  );

const deedOf = ({ what, undo }: ChangeV1): Deed => {
  if (undo.kind === 'run') return { kind: 'run', argv: wordsOf(what) };
  const { path } = undo;
  const link = `link ${path} to `;
  if (undo.kind === 'remove-tree') return { kind: 'make-dir', path };
  if (what.startsWith(link)) return { kind: 'link', path, target: what.slice(link.length) };
  if (what === `write ${path}`) return { kind: 'write', path };
  if (what === `place ${path}`) return { kind: 'place', path };
  return { kind: 'expect', path, why: what.replace(` ${path}`, '') };
};

/** Unit and socket of the tmux server of hardway 0.1. */
const tmux = { unit: 'hardway-tmux', socket: '/run/hardway-tmux' };

const undoOf = ({ undo }: ChangeV1): Undo => {
  if (undo.kind !== 'run') return undo;
  const [file = '', verb = ''] = undo.argv;
  const last = undo.argv.at(-1) ?? '';
  if (file === 'apt-get') return { kind: 'packages', names: undo.argv.slice(undo.argv.indexOf('purge') + 1) };
  if (file === 'modprobe') return { kind: 'module', name: last };
  if (file === 'tmux' && undo.argv[2] === tmux.socket)
    return { kind: 'unit', name: last.replace(/^=/, ''), supervisor: 'tmux' };
  if (file === 'systemctl' && ['stop', 'disable'].includes(verb)) {
    const name = last.replace(/\.service$/, '');
    return { kind: 'unit', name, supervisor: name === tmux.unit ? 'tmux' : 'systemd' };
  }
  return undo;
};

/** Converts a change of hardway 0.1 to a Change. */
export const fromV1 = (change: ChangeV1): Change => ({ do: deedOf(change), undo: undoOf(change) });
