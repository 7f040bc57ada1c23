import { accounts } from './accounts.ts';
import type { Owner } from './files.ts';

export interface Person {
  readonly name: string;
  readonly home: string;
  readonly owner: Owner;
}

/**
 * Finds the person at the keyboard: the user behind sudo, else root. Reads /etc/passwd, because sudo names only the
 * user.
 */
export const person = async (): Promise<Person> => {
  const name = process.env['SUDO_USER'] ?? 'root';
  const account = (await accounts()).find((one) => one.name === name);
  const { uid, gid, home } = account ?? { uid: 0, gid: 0, home: '/root' };
  return { name, home, owner: { uid, gid } };
};

/** Returns the homes of those who call hardway here: root's, and that of the person. */
export const homesHere = async (): Promise<readonly string[]> => [...new Set(['/root', (await person()).home])];
