import type { Command } from 'commander';
import { cnis, pkiProfiles, supervisorNames } from '../../lib/engine/lab.ts';
import { sources } from '../../lib/engine/step.ts';
import { languages } from '../../lib/engine/text.ts';
import { extras, stepIds } from '../../steps/index.ts';

/** Declares the options of `hardway up`, which `hardway vm up` reads as well. */
export const withUpOptions = (command: Command): Command =>
  command
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
    .option('--json', 'one JSON object a line');
