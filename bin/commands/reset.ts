import { Command } from 'commander';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { stepIds } from '../../steps/index.ts';
import { readLabOnDisk } from '../reset/lab-on-disk.ts';
import { purgeCache, type UndoOptions, undo } from '../reset/reset.ts';

const reset = async (options: UndoOptions): Promise<void> => {
  const to = options.to === undefined ? undefined : parseChoice('step', stepIds, options.to);
  const found = await readLabOnDisk();
  if (found) return undo(found, { ...options, to });
  const say = (text: string): void => {
    if (!options.json) process.stdout.write(`${text}\n`);
  };
  say('there is no lab on this machine: nothing to take back');
  if (options.purge && !options.dryRun) await purgeCache((what) => say(`kept: ${what}`));
  if (options.json) process.stdout.write(`${JSON.stringify({ event: 'done', ok: true, seconds: 0 })}\n`);
};

export const command = (): Command =>
  new Command('reset')
    .description(
      'Stops the components, removes what they left, takes back every change that hardway made\nand compares the machine with what it was before.',
    )
    .option('--to <step>', `keep everything up to a step: ${stepIds.join(', ')}`)
    .option('--purge', 'drop the downloads and builds as well')
    .option('--dry-run', 'say what would be taken back and touch nothing')
    .option('--yes', 'do not ask')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      '\nExamples:\n  sudo hardway reset\n  sudo hardway reset --to certificates\n  sudo hardway reset --dry-run',
    )
    .action(reset);
