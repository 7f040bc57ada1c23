import { Command, Option } from 'commander';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { stepIds } from '../../steps/index.ts';
import { type ResetOptions, reset } from '../reset/reset.ts';
import { oneOf } from '../values.ts';

type Options = Omit<ResetOptions, 'to'> & { readonly to?: string };

const resetTo = ({ to, ...options }: Options): Promise<void> => {
  const last = to === undefined ? undefined : parseChoice('step', stepIds, to);
  return reset({ ...options, to: () => last });
};

export const command = (): Command =>
  new Command('reset')
    .description(
      'Stops the components, removes what they left, takes back every change that hardway made\nand compares the machine with what it was before.',
    )
    .addOption(oneOf(new Option('--to <step>', 'keep everything up to a step'), stepIds))
    .option('--purge', 'drop the downloads and builds as well')
    .option('--dry-run', 'say what would be taken back and touch nothing')
    .option('--yes', 'do not ask')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      '\nExamples:\n  sudo hardway reset\n  sudo hardway reset --to certificates\n  sudo hardway reset --dry-run',
    )
    .action(resetTo);
