import { readIfThere } from '../files.ts';
import { mountTable } from '../mounts.ts';
import { ipJson } from '../net.ts';
import { fields, listOf, mapOf, number, text } from '../shape.ts';

/** Numbers of the things that have a name: mounts on one another have one name. */
type Numbers = Readonly<Record<string, readonly number[]>>;

/**
 * Numbers that the kernel gives to a thing once in a boot, by kind and name: another thing that has the name later has
 * another number. They are no part of the comparison.
 */
export interface Identities {
  /** The boot that they are of (random(4)). */
  readonly boot: string;
  readonly link: Numbers;
  readonly mount: Numbers;
}

/** Shape of identities in a file. */
export const identitiesShape = fields({ boot: text, link: mapOf(listOf(number)), mount: mapOf(listOf(number)) });

const numbersOf = (things: readonly (readonly [name: string, number: number])[]): Numbers => {
  const numbers: Record<string, number[]> = {};
  for (const [name, its] of things) numbers[name] = [...(numbers[name] ?? []), its];
  return numbers;
};

/** Returns the id of this boot. */
export const bootId = async (): Promise<string> =>
  ((await readIfThere('/proc/sys/kernel/random/boot_id')) ?? '').trim();

/** Reads the numbers of links and mounts. */
export const identities = async (): Promise<Identities> => {
  const links = await ipJson<{ ifname: string; ifindex: number }>('link', 'show');
  return {
    boot: await bootId(),
    link: numbersOf(links.map(({ ifname, ifindex }) => [ifname, ifindex])),
    mount: numbersOf(mountTable().map(({ point, id }) => [point, id])),
  };
};
