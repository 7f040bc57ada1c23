import { Command } from 'commander';
import { withUpOptions } from '../up/options.ts';
import { type Options, up } from '../up/up.ts';

export const command = (): Command =>
  withUpOptions(new Command('up'))
    .description(
      'Brings up a single-node Kubernetes on this machine: certificates, kubeconfigs, then each\ncomponent, started in order and checked before the next one. Goes on where it was stopped.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  sudo hardway up\n  sudo hardway up --to kube-apiserver\n  sudo hardway up --source go --json\n  sudo hardway up --ca-cert ca.pem --ca-key ca-key.pem\n  sudo hardway up --certs-templates ./templates',
    )
    .action((options: Options) => up(options));
