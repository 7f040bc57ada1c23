import { Command, Option } from 'commander';
import { flavours, kinds } from '../../lib/vm/record.ts';
import { suiteNames } from '../../lib/vm/suites.ts';
import { oneOf } from '../values.ts';
import { createOnly, execute, kubeconfig, list, openShell, remove, start, stop, upInVm } from '../vm/actions.ts';
import { boundary } from '../vm/boundary.ts';

const creatable = (command: Command): Command =>
  command
    .argument('[NAME]', 'a lower-case word', 'lab')
    .addOption(
      new Option('--kind <kind>', 'a container is up in a second; qemu has a kernel of its own')
        .choices(kinds)
        .default('container'),
    )
    .addOption(oneOf(new Option('--suite <suite>', 'by default noble where it answers, else bookworm'), suiteNames))
    .option('--net', 'give it a way out to the network; without it there is none')
    .addOption(new Option('--flavour <flavour>').choices(flavours).default('plain').hideHelp());

/** The commands that are given a VM and nothing else, with their examples. */
const ofOne = [
  ['shell', 'a root shell in a VM', openShell, 'shell', 'shell real'],
  ['stop', 'shut a VM down; its disk stays, with the cluster on it', stop, 'stop lab'],
  ['start', 'boot a VM that is off; its cluster comes back', start, 'start lab'],
  ['kubeconfig', 'write a kubeconfig for kubectl, k9s or Headlamp on this machine', kubeconfig, 'kubeconfig lab'],
] as const;

/** Makes the command `hardway vm`: throw-away VMs on this machine to try, teach and test in. */
export const command = (): Command => {
  const vm = new Command('vm').description('throw-away VMs on this machine: with the project in them, and no way out');
  const sub = (name: string, description: string, ...examples: readonly string[]): Command =>
    vm
      .command(name)
      .description(description)
      .addHelpText('after', `\nFor example:\n${examples.map((line) => `  hardway vm ${line}`).join('\n')}`);

  creatable(sub('up', 'a VM with a cluster in it: create or boot it, then `up` inside', 'up', 'up lab -- --to etcd'))
    .argument('[UP-FLAGS...]', 'after --: what `up` inside is given')
    .showHelpAfterError('What up is given goes after --, such as: hardway vm up lab -- --cni bridge')
    .action(upInVm);

  const empty = 'create a VM, or boot one that is off; without a cluster';
  creatable(sub('create', empty, 'create', 'create real --kind qemu --suite bookworm')).action(createOnly);

  const examples = ['exec lab -- kubectl get nodes', "exec lab -- sh -c 'journalctl -u etcd | tail'"];
  sub('exec', 'run a command in a VM, as root', ...examples)
    .argument('[NAME]', 'the VM', 'lab')
    .argument('[CMD...]', 'after --: the command and its words')
    .showHelpAfterError('The command goes after --, such as: hardway vm exec lab -- kubectl get nodes -o wide')
    .action(execute);

  for (const [name, description, action, ...lines] of ofOne)
    sub(name, description, ...lines)
      .argument('[NAME]', 'the VM', 'lab')
      .action(action);
  sub('list', 'the VMs of this machine', 'list', 'list --json').option('--json', 'an object a line').action(list);
  sub('delete', 'throw a VM away, in whatever state it is', 'delete lab').argument('<NAME>', 'the VM').action(remove);
  return vm.addHelpText('after', boundary);
};
