import { Argument, Command } from 'commander';
import { type RotateOptions, rotate } from '../certs/rotate.ts';

/** Makes `hardway certs rotate`. */
const rotation = (): Command => {
  const command = new Command('rotate')
    .summary('replace a CA or the key of tokens while everything goes on')
    .description(
      'Replaces a CA, or the key that signs the tokens of ServiceAccounts, while everything goes on: first both are\ntrusted, then the new one signs, and with --finish only the new one is trusted.',
    )
    .addHelpText('after', '\nExamples:\n  sudo hardway certs rotate ca\n  sudo hardway certs rotate ca --finish');
  const sub = (name: string, description: string, example: string): Command =>
    command
      .command(name)
      .description(description)
      .option('--finish', 'from now on trust only the new one')
      .option('--json', 'one JSON object a line')
      .addHelpText('after', `\nExample:\n  sudo hardway certs rotate ${example}`);
  sub('ca', 'replaces a CA and every certificate that it signed', 'ca etcd-ca')
    .addArgument(new Argument('[name]', 'the CA; by default every CA of the lab'))
    .action((name: string | undefined, options: RotateOptions) => rotate('ca', name, options));
  sub(
    'service-account',
    'replaces the key that signs the tokens of ServiceAccounts',
    'service-account --finish',
  ).action((options: RotateOptions) => rotate('service-account', undefined, options));
  return command;
};

export const command = (): Command =>
  new Command('certs')
    .description('The certificates and keys of this lab.')
    .addHelpText('after', '\nExample:\n  sudo hardway certs rotate ca')
    .addCommand(rotation());
