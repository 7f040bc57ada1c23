import { Command } from 'commander';
import { cnis, pkiProfiles, supervisorNames } from '../../lib/engine/lab.ts';
import { sources } from '../../lib/engine/step.ts';
import { languages } from '../../lib/engine/text.ts';
import { extras, stepIds } from '../../steps/index.ts';
import { type Options, up } from '../up/up.ts';

export const command = (): Command =>
  new Command('up')
    .description(
      'Brings up a single-node Kubernetes on this machine: certificates, kubeconfigs, then each\ncomponent, started in order and checked before the next one. Goes on where it was stopped.',
    )
    .option('--to <step>', `stop after a step: ${stepIds.join(', ')}`)
    .option('--cni <network>', `network of Pods: ${cnis.join(', ')}; calico where its images can be had`)
    .option(
      '--pki <profile>',
      `certificates: ${pkiProfiles.join(', ')}; guide is one for everything, to see why it is bad`,
    )
    .option(
      '--supervisor <name>',
      `who keeps the components running: ${supervisorNames.join(', ')}; tmux is the guide's look`,
    )
    .option('--with <extra>', `what a lab has only when asked: ${extras.join(', ')}`)
    .option('--source <source>', `where programs and images come from: ${sources.join(', ')}`, 'auto')
    .option('--from <folder>', 'the folder of --source dir')
    .option('--interface <name>', 'interface of the address of the Node; by default that of the default route')
    .option('--registry-mirror <url>', 'asked for every image before its own registry')
    .option('--observe', 'after each step look at what has become true, with the commands that show it')
    .option('--pause [steps]', 'stop after each step, or after those named (kubelet,network), with its lesson')
    .option('--lang <language>', `language of what is taught: ${languages.join(', ')}; from LANG by default`)
    .option('--plain', 'lines only: nothing is drawn twice, as for a screen reader')
    .option('--dry-run', 'say what would be done and touch nothing')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      '\nExamples:\n  sudo hardway up\n  sudo hardway up --to kube-apiserver\n  sudo hardway up --source go --json',
    )
    .action((options: Options) => up(options));
