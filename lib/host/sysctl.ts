import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';

/**
 * The file of a kernel parameter. As in sysctl(8) dots separate and a slash stands for a dot inside a name, such as that
 * of the interface eth0.100; snapshots of older versions have a backslash there.
 */
export const sysctlFile = (name: string): string =>
  `/proc/sys/${name.replaceAll(/[./\\]/g, (separator) => (separator === '.' ? '/' : '.'))}`;

/** The value of a kernel parameter, tabs as blanks; undefined where there is none or it cannot be read. */
export const readSysctl = (name: string): string | undefined => {
  try {
    return readFileSync(sysctlFile(name), 'utf8').trim().replaceAll('\t', ' ');
  } catch {
    return undefined;
  }
};

/** Folders of files that set parameters at boot (sysctl.d(5)); sysctl(8) reads /etc/sysctl.conf after them. */
const folders = ['/usr/lib/sysctl.d', '/run/sysctl.d', '/etc/sysctl.d'];

const orNothing = <T>(read: () => readonly T[]): readonly T[] => {
  try {
    return read();
  } catch {
    return [];
  }
};

/** Tells whether a file with these lines sets a kernel parameter to another value than this one. */
export const setsOther = (lines: readonly string[], name: string, value: string): boolean =>
  lines.some((line) => {
    const [, key = '', set] = /^\s*-?([^\s=#;]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    return set !== undefined && set !== value && [sysctlFile(key), `/proc/sys/${key}`].includes(sysctlFile(name));
  });

/** Lists the files of this machine that set a kernel parameter to another value than this one. */
export const filesAgainst = (name: string, value: string): readonly string[] => {
  const files = folders.flatMap((folder) => orNothing(() => readdirSync(folder)).map((file) => `${folder}/${file}`));
  return [...files, '/etc/sysctl.conf'].filter((file) =>
    setsOther(
      orNothing(() => (statSync(file).isFile() ? readFileSync(file, 'utf8').split('\n') : [])), // never waits for a writer
      name,
      value,
    ),
  );
};

/** Sets a kernel parameter. Throws where the kernel refuses, as on a read-only /proc/sys. */
export const writeSysctl = (name: string, value: string): void => writeFileSync(sysctlFile(name), value);
