import { readFileSync, writeFileSync } from 'node:fs';

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

/** Sets a kernel parameter. Throws where the kernel refuses, as on a read-only /proc/sys. */
export const writeSysctl = (name: string, value: string): void => writeFileSync(sysctlFile(name), value);
