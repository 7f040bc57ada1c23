import { UserError } from '../../lib/engine/errors.ts';
import { type Lab, type PkiProfile, pkiProfiles } from '../../lib/engine/lab.ts';
import type { Language, Text } from '../../lib/engine/text.ts';

/** Headings of the sections that have a note on each flag, each configuration field and each certificate. */
export const noteHeadings: Readonly<Record<Language, readonly string[]>> = {
  en: ['Flags', 'Fields', 'Certificates'],
  fr: ['Options', 'Champs', 'Certificats'],
};

/**
 * A note of a lesson on one flag (`--name`), one configuration field (its dotted path) or one certificate (its
 * template).
 */
export interface Note {
  readonly name: string;
  /** PKI profile that the note is for; absent for a note on every profile without its own. */
  readonly profile?: PkiProfile;
  readonly reason?: string;
  /** Consequence of leaving it out. */
  readonly consequence?: string;
}

/** Words between a reason and the consequence. */
const without: Text = { en: 'Without it: ', fr: 'Sans cela : ' };

/** Joins each item of a Markdown list with its continuation lines, which are indented by two spaces. */
const itemsIn = (text: string, wrong: (line: string, problem: string) => UserError): readonly string[] => {
  const items: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('- ')) items.push(line);
    else if (line.startsWith('  ') && items.length > 0) items.push(`${items.pop()} ${line.trim()}`);
    else if (line.trim() !== '') throw wrong(line, 'is neither an item (- `NAME`: ...) nor indented below one');
  }
  return items;
};

/**
 * Parses the notes of one section. A note has the form "- `--name`: reason. Without it: consequence.", or for one PKI
 * profile "- `--name` (guide): reason."; the reason may be missing: "- `name`. Without it: consequence.". Throws
 * UserError with the file and the item that is malformed or stands there twice.
 */
export const parseNotes = (text: string, language: Language, file: string): readonly Note[] => {
  const wrong = (line: string, problem: string): UserError =>
    new UserError(`${file}: "${line}" ${problem}`, `correct ${file}, then run hardway again`);
  const marker = without[language];
  const notes: Note[] = [];
  for (const line of itemsIn(text, wrong)) {
    const [head = '', consequence, another] = line.split(` ${marker}`);
    const found = /^- `([^`]+)`(?: \(([^)]*)\))?(?: ?: (.+))?\.$/.exec(head);
    if (!found || another !== undefined || consequence?.endsWith('.') === false)
      throw wrong(line, `is not of the form - \`NAME\`: REASON. ${marker}CONSEQUENCE.`);
    const [, name = '', asked, reason] = found;
    const profile = pkiProfiles.find((one) => one === asked);
    if (asked !== undefined && !profile) throw wrong(line, `names no PKI profile; there are ${pkiProfiles.join(', ')}`);
    if (reason === undefined && consequence === undefined) throw wrong(line, 'says nothing');
    if (notes.some((note) => note.name === name && note.profile === profile)) throw wrong(line, 'is there twice');
    notes.push({
      name,
      ...(profile && { profile }),
      ...(reason !== undefined && { reason }),
      ...(consequence !== undefined && { consequence: consequence.slice(0, -1) }),
    });
  }
  return notes;
};

/** Returns the note on a flag, a field or a certificate in a lab; what a note on its PKI profile says comes first. */
export const noteOn = (
  notes: readonly Note[],
  name: string,
  { pki }: Pick<Lab, 'pki'>,
): Pick<Note, 'reason' | 'consequence'> => {
  const own = notes.filter((note) => note.name === name);
  return { ...own.find(({ profile }) => profile === undefined), ...own.find(({ profile }) => profile === pki) };
};
