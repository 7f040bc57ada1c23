import type { Command } from 'commander';
import { Listr, type ListrTask, PRESET_TIMER } from 'listr2';
import { UserError } from '../../lib/engine/errors.ts';
import { quoted } from '../../lib/host/run.ts';
import type { flavours, kinds } from '../../lib/vm/record.ts';
import { checkName } from '../../lib/vm/record.ts';
import { apiPortOf, attachInVm, bootVm, createVm, deleteVm, getVm, listVms, stopVm } from '../../lib/vm/vm.ts';
import { interruptible } from '../interrupt.ts';
import { asTyped, fromOutside, inLanguage } from '../typed.ts';

const say = (text: string): void => console.log(asTyped(text));

interface CreateFlags {
  readonly kind: (typeof kinds)[number];
  readonly suite?: string;
  readonly net?: boolean;
  readonly flavour: (typeof flavours)[number];
}

/**
 * Returns the words after `--`. Commander drops the dashes, and without them a name looks like the first word of a
 * command.
 */
const afterDashes = (): string[] => {
  const at = process.argv.indexOf('--');
  return at === -1 ? [] : process.argv.slice(at + 1);
};

/** The name of the VM that a command was given, else `lab`. Throws UserError for a second word before `--`. */
const nameOf = (command: Command): string => {
  const named = command.args.slice(0, command.args.length - afterDashes().length);
  if (named.length > 1) {
    throw new UserError(
      `'${named.slice(1).join(' ')}' is neither the VM's name nor after --`,
      `hardway vm ${command.name()} ${named[0]} -- ${named.slice(1).join(' ')}`,
    );
  }
  return checkName(named[0] ?? 'lab');
};

type Report = (line: string) => void;

/** Draws the tasks on this machine: one line each, with its current action and its time. */
const draw = async (
  work: readonly (readonly [title: string, (making: Making) => Promise<unknown>])[],
  { next, quiet = false }: { readonly next: string; readonly quiet?: boolean },
) => {
  const tasks = (signal: AbortSignal) =>
    work.map(
      ([title, task]): ListrTask => ({
        title,
        task: (_, shown) => {
          const report = (line: string): void => {
            shown.output = line;
          };
          return task({ report, signal });
        },
      }),
    );
  const renderer = quiet ? 'silent' : process.stdout.isTTY ? 'default' : 'simple';
  await interruptible(next, (signal) =>
    new Listr(tasks(signal), {
      renderer,
      registerSignalListeners: false,
      rendererOptions: { timer: PRESET_TIMER, collapseErrors: false, showErrorMessage: false },
    }).run(),
  );
};

/** What stops the work on this machine, and how it tells what it does. */
interface Making {
  readonly report: Report;
  readonly signal: AbortSignal;
}

const create = (name: string, flags: CreateFlags, making: Making) => createVm({ name, ...flags, ...making });

/** Fills the cache, makes or boots the VM and runs `hardway up` in it, with its exit code. */
export const bringUpInVm = async (name: string, flags: CreateFlags, upFlags: readonly string[]): Promise<void> => {
  const { parseUpFlags } = await import('./up-flags.ts'); // only here are the steps needed
  const { json, filling } = parseUpFlags(upFlags);
  await draw(
    [
      [
        'Binaries and images',
        async ({ report, signal }) => (await import('../../lib/vm/fill.ts')).fillCache(filling, report, signal),
      ],
      [`VM ${name}`, (making) => create(name, flags, making)],
    ],
    { next: `hardway vm up ${name} makes it anew`, quiet: json },
  );
  process.exitCode = await attachInVm(await getVm(name), [...fromOutside(name), 'up', ...upFlags]);
  if (json) return;
  say(
    [
      '',
      `Get into the VM:   hardway vm shell ${name}`,
      `Ask its cluster:   hardway vm exec ${name} -- kubectl get nodes`,
      `From this machine: eval "$(hardway vm kubeconfig ${name})"`,
      `Throw it away:     hardway vm delete ${name}`,
    ].join('\n'),
  );
};

/** `hardway vm up`. */
export const upInVm = (_name: string, _words: string[], flags: CreateFlags, command: Command): Promise<void> =>
  bringUpInVm(nameOf(command), flags, afterDashes());

/** `hardway vm create`. */
export const createOnly = async (_name: string, flags: CreateFlags, command: Command): Promise<void> => {
  const name = nameOf(command);
  await draw([[`VM ${name}`, (making) => create(name, flags, making)]], {
    next: `hardway vm create ${name} makes it anew`,
  });
  say(`Get into it: hardway vm shell ${name}`);
};

/** `hardway vm exec`: the exit code is the command's. */
export const execute = async (_name: string, _words: string[], _flags: unknown, command: Command): Promise<void> => {
  const name = nameOf(command);
  const words = afterDashes();
  if (words.length === 0)
    throw new UserError('There is no command to run: it goes after --', `hardway vm exec ${name} -- hardway status`);
  process.exitCode = await attachInVm(await getVm(name), words);
};

/** `hardway vm shell`. */
export const openShell = async (name: string): Promise<void> => {
  process.exitCode = await attachInVm(await getVm(name), ['env', ...inLanguage(), 'bash', '-l']);
};

/** `hardway vm start`. */
export const start = async (name: string): Promise<void> => {
  const vm = await getVm(name);
  await draw([[`VM ${name}`, ({ signal }) => bootVm(vm, signal)]], { next: `hardway vm start ${name}` });
  say(`Get into it: hardway vm shell ${name}`);
};

/** `hardway vm stop`. */
export const stop = async (name: string): Promise<void> => {
  const vm = await getVm(name);
  await draw([[`VM ${name} off`, () => stopVm(vm)]], { next: `hardway vm stop ${name}` });
  say(`It is as it was, with its cluster, after: hardway vm start ${name}`);
};

/** `hardway vm kubeconfig`. */
export const kubeconfig = async (name: string): Promise<void> => {
  const { writeKubeconfig } = await import('../../lib/vm/kubeconfig.ts');
  const vm = await getVm(name);
  console.log(`export KUBECONFIG=${quoted([await writeKubeconfig(vm, await apiPortOf(vm))])}`);
};

/** `hardway vm list`. */
export const list = async ({ json }: { json?: boolean }): Promise<void> => {
  const all = await listVms();
  if (json) for (const one of all) console.log(JSON.stringify(one));
  else if (all.length === 0) say('There is no VM. Make one: hardway vm up');
  else
    for (const { name, kind, suite, state } of all)
      console.log([name.padEnd(30), kind.padEnd(10), suite.padEnd(9), state].join(' '));
};

/** `hardway vm delete`. */
export const remove = async (name: string): Promise<void> => {
  await deleteVm(name);
  await (await import('../../lib/vm/kubeconfig.ts')).removeKubeconfig(name);
  console.log(`The VM ${name} is gone.`);
};
