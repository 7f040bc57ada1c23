import { Command } from 'commander';
import { showStatus } from '../up/status.ts';

export const command = (): Command =>
  new Command('status')
    .description('Shows each step with its health and, for a component, its process and since when it runs.')
    .option('--json', 'one JSON object a line')
    .option('--watch', 'look again every two seconds until Ctrl-C')
    .addHelpText('after', '\nExample:\n  sudo hardway status --watch')
    .action(showStatus);
