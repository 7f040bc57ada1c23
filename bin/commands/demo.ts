import { Command } from 'commander';
import { demo } from '../teach/guide-application.ts';

export const command = (): Command =>
  new Command('demo')
    .description("Brings up the guide's web application (two Pods, a Service, an Ingress) and waits until it answers.")
    .option('--delete', 'take it away again')
    .addHelpText('after', '\nExamples:\n  sudo hardway demo\n  sudo hardway demo --delete')
    .action(demo);
