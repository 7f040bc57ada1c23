import { X509Certificate } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { UserError } from '../engine/errors.ts';
import { readIfThere } from '../host/files.ts';
import { paths } from '../host/paths.ts';
import { giveAnother } from './given.ts';

/** A certificate authority with its validity. */
interface Authority {
  readonly name: string;
  readonly from: Date;
  readonly to: Date;
  /** True for one that was given, and is not made here. */
  readonly given: boolean;
}

const day = 24 * 60 * 60 * 1000;
const setClock = 'set the clock: timedatectl set-ntp true, or date -s "YYYY-MM-DD HH:MM"; then hardway up';
const ifRight = ({ name, given }: Authority): string =>
  given
    ? `if the clock is right: ${giveAnother}`
    : `if the clock is right: rm ${paths.certs}/${name}.pem, then hardway up makes it anew, and all that it signs`;

/** Returns the certificate in a text as an authority; undefined for any other certificate, and for none. */
export const authorityIn = (name: string, pem: string, given: boolean): Authority | undefined => {
  try {
    const { ca, validFromDate: from, validToDate: to } = new X509Certificate(pem);
    return ca ? { name, from, to, given } : undefined;
  } catch {
    return undefined;
  }
};

/**
 * Throws UserError when the clock says a time at which a CA of this lab is not valid. Such a CA is not replaced: after a
 * boot without a real-time clock it is the clock that is wrong, and a new CA would be wrong as soon as the clock is right.
 */
export const refuseClockOf = (authorities: readonly Authority[], now: Date): void => {
  for (const authority of authorities) {
    const { name, from, to } = authority;
    const clock = `the clock of this machine says ${now.toISOString()}`;
    if (from > now)
      throw new UserError(
        `${clock}, the CA ${name} is of ${from.toISOString()}: the clock is wrong`,
        `${setClock}; ${ifRight(authority)}`,
      );
    if (to <= now)
      throw new UserError(
        `${clock}, the CA ${name} expired on ${to.toISOString()}`,
        `${setClock}; ${ifRight(authority)}`,
      );
  }
};

/**
 * Throws UserError when the clock cannot be right: it is a day or more behind the time at which this program was
 * written to the disk, or outside the validity of a CA in our folder. `given` are the CAs that were given, `replaced` those
 * in whose place another one is given now.
 */
export const requireClock = async ({
  now = new Date(),
  given = [],
  replaced = [],
}: {
  readonly now?: Date;
  readonly given?: readonly string[];
  readonly replaced?: readonly string[];
} = {}): Promise<void> => {
  const { mtime } = await stat(import.meta.filename);
  if (mtime.getTime() - now.getTime() > day)
    throw new UserError(
      `the clock of this machine says ${now.toISOString()}, but hardway was installed on ${mtime.toISOString()}`,
      setClock,
    );
  const files = (await readdir(paths.certs).catch(() => [])).filter((file) => file.endsWith('.pem'));
  const names = files.map((file) => file.replace(/\.pem$/, '')).filter((name) => !replaced.includes(name));
  const found = await Promise.all(
    names.map(async (name) =>
      authorityIn(name, (await readIfThere(`${paths.certs}/${name}.pem`)) ?? '', given.includes(name)),
    ),
  );
  refuseClockOf(
    found.flatMap((one) => one ?? []),
    now,
  );
};
