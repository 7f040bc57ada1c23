import type { Owner } from './files.ts';
import { readIfThere } from './files.ts';

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
  const line = ((await readIfThere('/etc/passwd')) ?? '').split('\n').find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid, , home] = (line ?? 'root:x:0:0:root:/root').split(':');
  return { name, home: home ?? '/root', owner: { uid: Number(uid), gid: Number(gid) } };
};

/** Returns the homes of those who call hardway here: root's, and that of the person. */
export const homesHere = async (): Promise<readonly string[]> => [...new Set(['/root', (await person()).home])];
