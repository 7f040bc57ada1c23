import { UserError } from '../../lib/engine/errors.ts';
import { type Lab, type PkiProfile, pkiProfiles } from '../../lib/engine/lab.ts';
import type { Language, Text } from '../../lib/engine/text.ts';

/** The headings of the sections that say one thing of each flag, of each configuration field and of each certificate. */
export const noteHeadings: Readonly<Record<Language, readonly string[]>> = {
  en: ['Flags', 'Fields', 'Certificates'],
  fr: ['Options', 'Champs', 'Certificats'],
};

/** What a lesson says of one flag (`--name`), one configuration field (its dotted path) or one certificate (its template). */
export interface Note {
  readonly name: string;
  /** The PKI profile that the note holds for; absent: for each that has no note of its own. */
  readonly profile?: PkiProfile;
  readonly reason?: string;
  /** What would happen without it. */
  readonly consequence?: string;
}

/** The words between a reason and the consequence. */
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
 * The notes of one section, such as "- `--name`: reason. Without it: consequence." or, for one PKI profile only,
 * "- `--name` (guide): reason.". The reason may be missing: "- `name`. Without it: consequence.".
 * Throws UserError with the file and the item that is malformed or stands there twice.
 */
export const parseNotes = (text: string, language: Language, file: string): readonly Note[] => {
  const wrong = (line: string, problem: string): UserError =>
    new UserError(`${file}: "${line}" ${problem}`, `correct ${file}, then run hardway again`);
  const marker = without[language];
  const notes: Note[] = [];
  for (const line of itemsIn(text, wrong)) {
    const [head = '', consequence] = line.split(` ${marker}`);
    const found = /^- `([^`]+)`(?: \(([^)]*)\))?(?: ?: (.+))?\.$/.exec(head);
    if (!found || consequence?.endsWith('.') === false)
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

/** What the notes say of a flag, a field or a certificate in a lab: first what they say of its PKI profile. */
export const noteOn = (
  notes: readonly Note[],
  name: string,
  { pki }: Pick<Lab, 'pki'>,
): Pick<Note, 'reason' | 'consequence'> => {
  const own = notes.filter((note) => note.name === name);
  return { ...own.find(({ profile }) => profile === undefined), ...own.find(({ profile }) => profile === pki) };
};
