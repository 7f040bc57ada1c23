import { Command } from 'commander';
import { kubeconfigFile, paths } from '../../lib/host/paths.ts';
import { attach } from '../../lib/host/run.ts';
import { requireLab } from '../lab.ts';

const run = async (args: readonly string[]): Promise<void> => {
  await requireLab();
  process.exitCode = await attach(`${paths.bin}/kubectl`, args, { KUBECONFIG: kubeconfigFile('admin') });
};

export const command = (): Command =>
  new Command('kubectl')
    .description('Runs kubectl as the admin of the cluster on this machine.')
    .argument('[args...]', 'what kubectl is to do')
    .allowUnknownOption()
    .passThroughOptions()
    .addHelpText('after', '\nExample:\n  sudo hardway kubectl -- get pods --all-namespaces')
    .action(run);
