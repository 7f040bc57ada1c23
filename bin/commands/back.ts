import { Command } from 'commander';
import { installedSteps, readLabOnDisk } from '../reset/lab-on-disk.ts';
import { type UndoOptions, undo } from '../reset/reset.ts';

const back = async (options: UndoOptions): Promise<void> => {
  const found = await readLabOnDisk();
  if (!found) {
    process.stdout.write('there is no lab on this machine: nothing to take back\n');
    return;
  }
  await undo(found, { ...options, to: installedSteps(found).at(-2) });
};

export const command = (): Command =>
  new Command('back')
    .description('Takes the last step back, as if it had not been applied yet.')
    .option('--dry-run', 'say what would be taken back and touch nothing')
    .option('--yes', 'do not ask')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  sudo hardway back --yes')
    .action(back);
