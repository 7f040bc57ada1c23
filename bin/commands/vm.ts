import { Command, Option } from 'commander';
import { Listr, type ListrTask, PRESET_TIMER } from 'listr2';
import { UserError } from '../../lib/engine/errors.ts';
import { checkName } from '../../lib/vm/name.ts';
import { flavours, kinds } from '../../lib/vm/record.ts';
import { attachInVm, createVm, deleteVm, getVm, listVms } from '../../lib/vm/vm.ts';

interface CreateFlags {
  readonly kind: (typeof kinds)[number];
  readonly suite?: string;
  readonly net?: boolean;
  readonly flavour: (typeof flavours)[number];
}

/** The words after `--`. Commander drops the dashes, and without them a name and a command's first word look the same. */
const afterDashes = (): string[] => {
  const at = process.argv.indexOf('--');
  return at === -1 ? [] : process.argv.slice(at + 1);
};

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

/** Draws what is prepared on this machine: a line a task, what it does just now, its time. */
const draw = async (
  work: readonly (readonly [title: string, (report: Report) => Promise<unknown>])[],
  quiet = false,
) => {
  const tasks = work.map(
    ([title, task]): ListrTask => ({
      title,
      task: (_, shown) =>
        task((line) => {
          shown.output = line;
        }),
    }),
  );
  const renderer = quiet ? 'silent' : process.stdout.isTTY ? 'default' : 'simple';
  await new Listr(tasks, {
    renderer,
    registerSignalListeners: false,
    rendererOptions: { timer: PRESET_TIMER, collapseErrors: false, showErrorMessage: false },
  }).run();
};

const creatable = (command: Command): Command =>
  command
    .argument('[NAME]', 'a lower-case word', 'lab')
    .addOption(
      new Option('--kind <kind>', 'a container is up in a second; qemu has a kernel of its own')
        .choices(kinds)
        .default('container'),
    )
    .option(
      '--suite <suite>',
      'noble, jammy, bookworm or trixie; by default noble where its archive answers, else bookworm',
    )
    .option('--net', 'give it a way out to the network; without it there is none')
    .addOption(new Option('--flavour <flavour>').choices(flavours).default('plain').hideHelp());

const example = (command: Command, ...lines: string[]): Command =>
  command.addHelpText('after', `\nFor example:\n${lines.map((line) => `  hardway vm ${line}`).join('\n')}`);

const create = (name: string, flags: CreateFlags, report: Report) => createVm({ name, ...flags, report });

/** `hardway vm`: throw-away VMs on this machine to try, teach and test in. */
export const vmCommand = (): Command => {
  const vm = new Command('vm').description('throw-away VMs on this machine: with the project in them, and no way out');

  example(
    creatable(vm.command('up').description('a VM with a cluster in it: create or boot it, then `hardway up` inside')),
    'up',
    'up lab -- --to etcd --pause',
    'up real --kind qemu',
  )
    .argument('[UP-FLAGS...]', 'after --: what `hardway up` inside is given')
    .showHelpAfterError('What hardway up is given goes after --, such as: hardway vm up lab -- --cni bridge')
    .action(async (_name: string, _words: string[], flags: CreateFlags, command: Command) => {
      const name = nameOf(command);
      const upFlags = afterDashes();
      const json = upFlags.includes('--json');
      await draw(
        [
          ['Binaries and images', async (report) => (await import('../../lib/vm/fill.ts')).fillCache(upFlags, report)],
          [`VM ${name}`, (report) => create(name, flags, report)],
        ],
        json,
      );
      process.exitCode = await attachInVm(await getVm(name), ['hardway', 'up', ...upFlags]);
      if (json) return;
      console.log(
        [
          '',
          `Get into the VM:   hardway vm shell ${name}`,
          `Ask its cluster:   hardway vm exec ${name} -- kubectl get nodes`,
          `Throw it away:     hardway vm delete ${name}`,
        ].join('\n'),
      );
    });

  example(
    creatable(vm.command('create').description('create a VM, or boot one that is off; without a cluster')),
    'create',
    'create real --kind qemu --suite bookworm',
  ).action(async (_name: string, flags: CreateFlags, command: Command) => {
    const name = nameOf(command);
    await draw([[`VM ${name}`, (report) => create(name, flags, report)]]);
    console.log(`Get into it: hardway vm shell ${name}`);
  });

  example(
    vm.command('exec').description('run a command in a VM, as root'),
    'exec lab -- kubectl get nodes',
    "exec lab -- sh -c 'journalctl -u etcd | tail'",
  )
    .argument('[NAME]', 'the VM', 'lab')
    .argument('[CMD...]', 'after --: the command and its words')
    .showHelpAfterError('The command goes after --, such as: hardway vm exec lab -- kubectl get nodes -o wide')
    .action(async (_name: string, _words: string[], _flags: unknown, command: Command) => {
      const name = nameOf(command);
      const words = afterDashes();
      if (words.length === 0) {
        throw new UserError(
          'There is no command to run: it goes after --',
          `hardway vm exec ${name} -- hardway status`,
        );
      }
      process.exitCode = await attachInVm(await getVm(name), words);
    });

  example(vm.command('shell').description('a root shell in a VM'), 'shell', 'shell real')
    .argument('[NAME]', 'the VM', 'lab')
    .action(async (name: string) => {
      process.exitCode = await attachInVm(await getVm(name), ['bash', '-l']);
    });

  example(vm.command('list').description('the VMs of this machine'), 'list', 'list --json')
    .option('--json', 'an object a line')
    .action(async ({ json }: { json?: boolean }) => {
      const all = await listVms();
      if (json) for (const one of all) console.log(JSON.stringify(one));
      else if (all.length === 0) console.log('There is no VM. Make one: hardway vm up');
      else
        for (const { name, kind, suite, state } of all)
          console.log([name.padEnd(30), kind.padEnd(10), suite.padEnd(9), state].join(' '));
    });

  example(vm.command('delete').description('throw a VM away, in whatever state it is'), 'delete lab')
    .argument('<NAME>', 'the VM')
    .action(async (name: string) => {
      await deleteVm(name);
      console.log(`The VM ${name} is gone.`);
    });

  return vm;
};
