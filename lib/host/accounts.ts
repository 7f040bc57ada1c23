import { readIfThere } from './files.ts';

/** An account of this machine, from /etc/passwd (passwd(5)). */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly comment: string;
}

/** First UID of people: lower ones are of accounts that run programs (UID_MIN in login.defs(5)). */
const firstOfPeople = 1000;

const linesOf = async (file: string): Promise<readonly (readonly string[])[]> =>
  ((await readIfThere(file)) ?? '').split('\n').map((line) => line.split(':'));

/** Lists the accounts of this machine. */
export const accounts = async (): Promise<readonly Account[]> =>
  (await linesOf('/etc/passwd')).flatMap(([name = '', , uid = '', , comment = '']) =>
    uid === '' ? [] : [{ name, uid: Number(uid), comment }],
  );

/** Tells whether an account is root's or a person's. */
export const isPersons = ({ uid }: Account): boolean => uid === 0 || uid >= firstOfPeople;

/** Tells whether this machine has a group of that name. */
export const hasGroup = async (name: string): Promise<boolean> =>
  (await linesOf('/etc/group')).some(([group]) => group === name);
