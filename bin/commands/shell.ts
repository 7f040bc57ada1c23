import { Command } from 'commander';
import { requireLab } from '../lab.ts';
import { openShell } from '../teach/terminal.ts';

const open = async (): Promise<void> => {
  await requireLab();
  process.exitCode = await openShell();
};

export const command = (): Command =>
  new Command('shell')
    .description('Opens a shell in which kubectl, etcdctl, crictl and ctr know this cluster. exit leaves it.')
    .addHelpText('after', '\nExample:\n  sudo hardway shell')
    .action(open);
