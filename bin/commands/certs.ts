import { Argument, Command, Option } from 'commander';
import { languages } from '../../lib/engine/text.ts';
import { list } from '../certs/list.ts';
import { renew } from '../certs/renew.ts';
import { type RotateOptions, rotate } from '../certs/rotate.ts';
import { show } from '../certs/show.ts';
import { verify } from '../certs/verify.ts';
import { oneOf } from '../values.ts';

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

export const command = (): Command => {
  const certs = new Command('certs')
    .description('The certificates and keys of this lab.')
    .addHelpText('after', '\nExamples:\n  sudo hardway certs list\n  sudo hardway certs verify');
  const sub = (name: string, description: string, example = name): Command =>
    certs.command(name).description(description).addHelpText('after', `\nExample:\n  sudo hardway certs ${example}`);
  sub('list', 'every certificate: file, subject, names, issuer, who uses it, and when it ends')
    .option('--json', 'one JSON object a line')
    .action(list);
  sub('show', 'one certificate, and why it is as it is', 'show apiserver')
    .argument('<NAME>', 'the certificate, as list names it')
    .addOption(oneOf(new Option('--lang <language>', 'language of the reason; from LANG by default'), languages))
    .action(show);
  sub('verify', 'chain, strict rules, names, keys, kubeconfigs, modes and clock; exit code 1 where one is not right')
    .option('--json', 'one JSON object a line')
    .action(verify);
  sub('renew', 'makes one certificate anew, or all but the CAs, and starts again what reads them', 'renew apiserver')
    .argument('[NAME]', 'the certificate, as list names it')
    .option('--all', 'every certificate but the CAs')
    .option('--new-key', 'with a new private key')
    .option('--json', 'one JSON object a line')
    .action(renew);
  return certs.addCommand(rotation());
};
