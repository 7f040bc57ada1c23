import { Command } from 'commander';
import { installedSteps } from '../reset/lab-on-disk.ts';
import { type ResetOptions, reset } from '../reset/reset.ts';

const back = (options: Omit<ResetOptions, 'to'>): Promise<void> =>
  reset({ ...options, to: (found) => installedSteps(found).at(-2) });

export const command = (): Command =>
  new Command('back')
    .description('Takes the last step back, as if it had not been applied yet.')
    .option('--dry-run', 'say what would be taken back and touch nothing')
    .option('--yes', 'do not ask')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  sudo hardway back --yes')
    .action(back);
