import { Command } from 'commander';
import { showChecks } from '../up/checks.ts';

export const command = (): Command =>
  new Command('check')
    .description('Looks once at every health check of the steps that were applied, or at those of one step.')
    .argument('[step]', 'the step to look at')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  sudo hardway check etcd')
    .action(showChecks);
