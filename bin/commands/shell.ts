import { Command } from 'commander';
import { attach } from '../../lib/host/attach.ts';
import { paths } from '../../lib/host/paths.ts';
import { kubeconfigFile } from '../../lib/pki/files.ts';
import { theLab } from '../lab.ts';

const open = async (): Promise<void> => {
  await theLab();
  process.exitCode = await attach(process.env['SHELL'] ?? '/bin/sh', [], {
    KUBECONFIG: kubeconfigFile('admin'),
    PATH: `${paths.bin}:${process.env['PATH'] ?? ''}`,
  });
};

export const command = (): Command =>
  new Command('shell')
    .description('Opens a shell in which kubectl, etcdctl, crictl and ctr know this cluster. exit leaves it.')
    .addHelpText('after', '\nExample:\n  sudo hardway shell')
    .action(open);
