import { Argument, Command } from 'commander';
import { stepIds } from '../../steps/index.ts';
import { showChecks } from '../up/checks.ts';
import { oneOf } from '../values.ts';

export const command = (): Command =>
  new Command('check')
    .description('Looks once at every health check of the steps that were applied, or at those of one step.')
    .addArgument(oneOf(new Argument('[step]', 'the step to look at'), stepIds))
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  sudo hardway check etcd')
    .action(showChecks);
