import { release } from 'node:os';
import { readIfThere, statIfThere } from './files.ts';
import { tryRun } from './run.ts';
import { readSysctl } from './sysctl.ts';

/** Tells whether a module is in the kernel: loaded, or built in. A kernel without modules has all that it can have. */
export const isInKernel = async (name: string): Promise<boolean> => {
  const loaded = await readIfThere('/proc/modules');
  if (loaded === undefined || new RegExp(`^${name} `, 'm').test(loaded)) return true;
  if (await statIfThere(`/sys/module/${name}`)) return true;
  return ((await readIfThere(`/lib/modules/${release()}/modules.builtin`)) ?? '').includes(`/${name}.ko`);
};

/** Tells whether this machine has a module that is not in the kernel yet. */
export const canBeLoaded = async (name: string): Promise<boolean> =>
  !(await isInKernel(name)) && (await tryRun('modprobe', ['--dry-run', '--quiet', name])).code === 0;

/** A module that is here and that the machine does not let in, with what forbids it. */
export interface ForbiddenModule {
  readonly name: string;
  readonly by: string;
}

/** Parses what `modprobe --show-depends` prints: the command that is run in the place of loading a module, if that is none. */
export const forbidsLoading = (text: string): string | undefined =>
  /^install (\/\S*\/)?(false|true)\b.*$/m.exec(text)?.[0].trim();

/** Finds those of the modules that this machine forbids to load: the kernel for good, or a file of modprobe.d. */
export const forbiddenModules = async (names: readonly string[]): Promise<readonly ForbiddenModule[]> => {
  const found = await Promise.all(
    names.map(async (name) => {
      if (!(await canBeLoaded(name))) return [];
      if (readSysctl('kernel.modules_disabled') === '1') return { name, by: 'kernel.modules_disabled = 1' };
      const line = forbidsLoading((await tryRun('modprobe', ['--show-depends', name])).stdout);
      return line === undefined
        ? []
        : { name, by: `a line in /etc/modprobe.d: ${line.replace('install', `install ${name}`)}` };
    }),
  );
  return found.flat();
};
