import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { manualPage } from '../manual/page.ts';
import { rowsOf } from '../manual/tree.ts';

const print = (_options: unknown, { parent }: Command): void => {
  const [program, ...rows] = parent ? rowsOf(parent) : [];
  if (program) process.stdout.write(manualPage([program, ...rows], packageJson.version));
};

export const command = (): Command =>
  new Command('man')
    .description('Prints the manual page of all commands.')
    .addHelpText(
      'after',
      '\nExamples:\n  hardway man | man -l -\n  hardway man | sudo tee /usr/local/share/man/man1/hardway.1 >/dev/null',
    )
    .action(print);
