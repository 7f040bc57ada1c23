import { Command, Option } from 'commander';
import { languages } from '../../lib/engine/text.ts';
import { csr } from '../certs/csr.ts';
import { list } from '../certs/list.ts';
import { renew } from '../certs/renew.ts';
import { type RotateOptions, rotate } from '../certs/rotate.ts';
import { show } from '../certs/show.ts';
import { verify } from '../certs/verify.ts';
import { oneOf } from '../values.ts';

/** Adds a command below another one, with an example. */
const add = (above: Command, path: string, name: string, description: string, example = name): Command =>
  above.command(name).description(description).addHelpText('after', `\nExample:\n  sudo hardway ${path} ${example}`);

const addRotation = (certs: Command): void => {
  const replaced = 'replaces a CA or the key of tokens while everything goes on; docs/certificates.md tells how';
  const rotation = add(certs, 'certs', 'rotate', replaced, 'rotate ca');
  const sub = (name: string, description: string, example: string): Command =>
    add(rotation, 'certs rotate', name, description, example)
      .option('--finish', 'from now on trust only the new one')
      .option('--json', 'one JSON object a line');
  sub('ca', 'replaces a CA and every certificate that it signed', 'ca etcd-ca')
    .argument('[name]', 'the CA; by default every CA of the lab')
    .action((name: string | undefined, options: RotateOptions) => rotate('ca', name, options));
  sub(
    'service-account',
    'replaces the key that signs the tokens of ServiceAccounts',
    'service-account --finish',
  ).action((options: RotateOptions) => rotate('service-account', undefined, options));
};

export const command = (): Command => {
  const certs = new Command('certs').description('The certificates and keys of this lab.');
  const sub = (name: string, description: string, example = name) => add(certs, 'certs', name, description, example);
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
  sub('csr', "a person's certificate by the Certificates API, with its kubeconfig", 'csr jane --group developers')
    .argument('<NAME>', 'who it is for: the user in the cluster')
    .option('--group <group...>', 'groups of that user', [])
    .option('--expires <time>', 'how long it is valid: 12h, 30d', '24h')
    .option('--out <file>', 'where the kubeconfig goes; by default NAME.kubeconfig here')
    .action(csr);
  addRotation(certs);
  return certs.addHelpText('after', '\nExamples:\n  sudo hardway certs list\n  sudo hardway certs verify');
};
