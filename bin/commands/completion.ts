import { Argument, Command } from 'commander';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { completionFor, shells } from '../manual/completion.ts';
import { rowsOf } from '../manual/tree.ts';
import { oneOf } from '../values.ts';

const print = (shell: string, _options: unknown, { parent }: Command): void => {
  const asked = parseChoice('shell', shells, shell);
  if (parent) process.stdout.write(completionFor(asked, rowsOf(parent)));
};

export const command = (): Command =>
  new Command('completion')
    .description('Prints a script by which a shell completes commands, options and their values.')
    .addArgument(oneOf(new Argument('<shell>', 'the shell'), shells))
    .addHelpText(
      'after',
      '\nExamples:\n  source <(hardway completion bash)      in ~/.bashrc\n  source <(hardway completion zsh)       in ~/.zshrc, after compinit\n  hardway completion fish | source       in ~/.config/fish/config.fish',
    )
    .action(print);
