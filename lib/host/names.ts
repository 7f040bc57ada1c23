import { Resolver } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { tryRun } from './run.ts';

/**
 * Returns a function that finds the addresses of a name as every program of this machine does, and gives up after
 * `limit` milliseconds. Node's own cannot be stopped: where no name server answers, the program would not end for as long
 * as the C library waits.
 */
export const lookUpWithin =
  (limit: number): LookupFunction =>
  (name, options, callback) => {
    const find = async (): Promise<void> => {
      const { stdout, code } = await tryRun('getent', ['ahosts', name], { timeout: limit });
      const found = new Set(stdout.split('\n').flatMap((line) => line.split(/\s/)[0] || []));
      const addresses = [...found].map((address) => ({ address, family: isIP(address) }));
      const [first] = addresses;
      if (!first) {
        const why = code === 124 ? `no name server said it within ${limit / 1000} s` : 'no name server knows it';
        const error = new Error(`the address of ${name} is not known: ${why}`);
        return callback(Object.assign(error, { code: 'ENOTFOUND' }), '');
      }
      return options.all ? callback(null, addresses) : callback(null, first.address, first.family);
    };
    void find();
  };

/** Errors of c-ares that are answers: the server knows that the name has no address. */
const answered = ['ENOTFOUND', 'ENODATA'];
const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'it cannot be reached, or nothing listens there',
  EREFUSED: 'it refuses to answer this machine',
  ESERVFAIL: 'it answers that it cannot find out (SERVFAIL)',
};

/**
 * Asks one name server, ADDRESS or ADDRESS:PORT, for the address of a name. Returns why there was no answer within
 * `limit` milliseconds; undefined where it answered, also that there is no such name.
 */
export const faultOfNameServer = async (server: string, name: string, limit: number): Promise<string | undefined> => {
  const resolver = new Resolver({ timeout: limit, tries: 1 });
  resolver.setServers([server]);
  const timer = setTimeout(() => resolver.cancel(), limit);
  try {
    await resolver.resolve4(name);
    return undefined;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return answered.includes(code) ? undefined : (causes[code] ?? `no answer within ${limit / 1000} s`);
  } finally {
    clearTimeout(timer);
  }
};
