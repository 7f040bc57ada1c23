import { Argument, Command } from 'commander';
import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { attach } from '../../lib/host/run.ts';
import { components } from '../../steps/index.ts';
import { requireLab } from '../lab.ts';
import { oneOf } from '../values.ts';

const show = async (name: string, { follow, lines }: { follow?: boolean; lines: string }): Promise<void> => {
  if (!/^[1-9]\d{0,8}$/.test(lines))
    throw new UserError(`-n ${lines} is not a number of lines`, `hardway logs ${name} -n 200`);
  const component = parseChoice('component', components, name);
  const { lab } = await requireLab();
  const [file = '', ...args] = supervisorOf(lab).logCommand(component, lines, follow ?? false);
  process.exitCode = await attach(file, args);
};

export const command = (): Command =>
  new Command('logs')
    .description('Shows what a component wrote.')
    .addArgument(oneOf(new Argument('<component>', 'the component'), components))
    .option('-f, --follow', 'go on until Ctrl-C')
    .option('-n, --lines <number>', 'how many of the last lines', '200')
    .addHelpText('after', '\nExample:\n  sudo hardway logs kubelet -f')
    .action(show);
