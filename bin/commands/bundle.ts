import { Argument, Command, Option } from 'commander';
import { cnis } from '../../lib/engine/lab.ts';
import { extras } from '../../steps/index.ts';
import { create, inspect, serve } from '../bundle/bundle.ts';
import { oneOf } from '../values.ts';

const file = (): Argument => new Argument('<file>', 'the bundle');

export const command = (): Command => {
  const bundle = new Command('bundle')
    .description('Everything that a lab needs in one file, for machines without a network.')
    .addHelpText('after', '\nExample:\n  hardway bundle create lab.bundle');
  bundle
    .command('create')
    .description('Brings programs, images, manifests, npm packages and Node, and packs them into one file.')
    .addArgument(file())
    .addOption(oneOf(new Option('--cni <network>', 'network of Pods; by default Calico where it can be had'), cnis))
    .addOption(oneOf(new Option('--with <extra>', 'what a lab has only when asked'), extras))
    .addOption(oneOf(new Option('--arch <arch>', 'architecture; by default this machine’s'), ['amd64', 'arm64']))
    .addHelpText('after', '\nExample:\n  sudo hardway bundle create --cni bridge lab.bundle')
    .action(create);
  bundle
    .command('inspect')
    .description('Verifies a bundle, and says what is in it.')
    .addArgument(file())
    .option('--json', 'one JSON object')
    .addHelpText('after', '\nExample:\n  hardway bundle inspect lab.bundle')
    .action(inspect);
  bundle
    .command('serve')
    .description('Serves a bundle to the machines in a room, and prints the line that they type.')
    .addArgument(file())
    .option('--port <port>', 'TCP port that it listens on', '8080')
    .addHelpText('after', '\nExample:\n  hardway bundle serve lab.bundle')
    .action(serve);
  return bundle;
};
