import { readIfThere } from './files.ts';

/** An account of this machine (passwd(5)). */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly comment: string;
  readonly home: string;
}

/** A group of this machine (group(5)). */
export interface Group {
  readonly name: string;
  readonly gid: number;
  /** Names of the accounts that are listed in it; those whose own group it is are not. */
  readonly members: readonly string[];
}

/** First UID of people: lower ones are of accounts that run programs (UID_MIN in login.defs(5)). */
const firstOfPeople = 1000;

const rowsOf = async (file: string): Promise<readonly (readonly string[])[]> =>
  ((await readIfThere(file)) ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(':'));

/** Lists the accounts of this machine. */
export const accounts = async (): Promise<readonly Account[]> =>
  (await rowsOf('/etc/passwd')).map(([name = '', , uid, gid, comment = '', home = '']) => ({
    ...{ name, comment, home },
    ...{ uid: Number(uid), gid: Number(gid) },
  }));

/** Lists the groups of this machine. */
export const groups = async (): Promise<readonly Group[]> =>
  (await rowsOf('/etc/group')).map(([name = '', , gid, members = '']) => ({
    ...{ name, gid: Number(gid) },
    members: members.split(',').filter((member) => member !== ''),
  }));

/** Tells whether an account is root's or a person's. */
export const isPersons = ({ uid }: Account): boolean => uid === 0 || uid >= firstOfPeople;
