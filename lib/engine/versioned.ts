import { readIfThere } from '../host/files.ts';
import { UserError } from './errors.ts';

/**
 * What a JSON file of ours of version 1 holds, or undefined where there is none. Throws UserError where it is torn, with
 * `anew` as what to do then, and where another hardway wrote it.
 */
export const readVersioned = async (path: string, anew: string): Promise<object | undefined> => {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new UserError(`${path} is not JSON: it was torn or edited`, `move it away and run ${anew}`);
  }
  const version = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  if (version !== 1) {
    throw new UserError(
      `${path} has version ${String(version)}, this hardway reads version 1`,
      'use the hardway that wrote it',
    );
  }
  return parsed as object;
};
