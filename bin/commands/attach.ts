import { Argument, Command } from 'commander';
import { supervisorOf } from '../../lib/daemons/supervisor.ts';
import { attachCommand, sessionOf } from '../../lib/daemons/tmux.ts';
import { Unhealthy, UserError } from '../../lib/engine/errors.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { attach } from '../../lib/host/run.ts';
import { components } from '../../steps/index.ts';
import { requireLab } from '../lab.ts';
import { oneOf } from '../values.ts';

const show = async (asked: string): Promise<void> => {
  const guide = components.find((name) => sessionOf(name) === asked);
  const component = guide ?? parseChoice('component', components, asked);
  const { lab } = await requireLab();
  if (lab.supervisor !== 'tmux')
    throw new UserError(
      `${component} runs under systemd and has no terminal`,
      `hardway logs ${component} -f; hardway up --supervisor tmux, in a new lab, gives each component a window`,
    );
  const [status] = await supervisorOf(lab).statuses([component]);
  if (!status?.exists)
    throw new Unhealthy(`${component} has no window in tmux: it was killed, or the machine was rebooted`, {
      next: 'hardway up',
    });
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new UserError('a window is shown on a terminal, and there is none here', `hardway logs ${component}`);
  const [file = '', ...args] = attachCommand(component, process.env['TMUX']);
  // Unsets TMUX, or tmux would refuse to run inside another tmux.
  process.exitCode = await attach(file, args, { TMUX: '' });
};

export const command = (): Command =>
  new Command('attach')
    .description('Puts the window of a component on this terminal, where the lab runs in tmux. Ctrl-b d leaves it.')
    .addArgument(oneOf(new Argument('<component>', 'the component'), components))
    .addHelpText('after', '\nExample:\n  sudo hardway attach etcd')
    .action(show);
