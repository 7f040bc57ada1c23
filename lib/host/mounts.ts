import { readFileSync } from 'node:fs';

/** A mount of /proc/self/mountinfo (proc(5)). */
export interface Mount {
  /** Number of the mount, which no other has had since the boot. */
  readonly id: number;
  readonly point: string;
  readonly type: string;
  readonly source: string;
  /** Of the mount and of its file system: ro, noexec. */
  readonly options: readonly string[];
}

/**
 * Decodes a path of mountinfo, which writes blanks, tabs, newlines and backslashes as three octal digits, by bytes of
 * UTF-8.
 */
const unescaped = (text: string): string =>
  text.replaceAll(/(?:\\[0-7]{3})+/g, (escapes) =>
    Buffer.from(
      escapes
        .split('\\')
        .slice(1)
        .map((octal) => Number.parseInt(octal, 8)),
    ).toString('utf8'),
  );

/** Parses the text of a mountinfo file. A line has optional fields before the " - ", so fields are counted from both sides of it. */
export const parseMounts = (text: string): readonly Mount[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [id = '', , , , point = '', own = ''] = before.split(' ');
      const [type = '', source = '', shared = ''] = after.split(' ');
      const options = [...own.split(','), ...shared.split(',')];
      return { id: Number(id), point: unescaped(point), type, source: unescaped(source), options };
    });

/** Lists all mounts of this process's namespace, in the order in which they were made. */
export const mountTable = (): readonly Mount[] => parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));

/** Tells whether something is mounted at exactly this path. */
export const isMountPoint = (path: string): boolean => mountTable().some(({ point }) => point === path);

/** Lists the mount points at or below a folder, the last one made first: the order in which they can be unmounted. */
export const mountsBelow = (folder: string): readonly string[] =>
  mountTable()
    .map(({ point }) => point)
    .filter((point) => point === folder || point.startsWith(`${folder}/`))
    .reverse();
