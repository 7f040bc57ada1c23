import { Command, Option } from 'commander';
import { languages } from '../../lib/engine/text.ts';
import { checkExercise, giveUp, hint, list, solution, start, task } from '../practice/practice.ts';
import { oneOf } from '../values.ts';

const language = (): Option => oneOf(new Option('--lang <language>', 'language; from LANG by default'), languages);

/** Makes the command `hardway practice`: faults to repair. */
export const command = (): Command => {
  const practice = new Command('practice')
    .description('A fault in this lab, to find and to repair; without a word, the list of them.')
    .enablePositionalOptions() // what follows the name of a command is that command's
    .addOption(language())
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExamples:\n  sudo hardway practice\n  sudo hardway practice start pending')
    .action(list);
  const sub = (name: string, description: string): Command =>
    practice
      .command(name)
      .description(description)
      .addOption(language())
      .addHelpText('after', `\nExample:\n  sudo hardway practice ${name}`);
  practice
    .command('start')
    .description('Makes the fault of an exercise, and shows its ticket.')
    .argument('[ID]', 'the exercise, as hardway practice lists it')
    .option('--random', 'one that was not done yet')
    .option('--topic <topic>', 'with --random: of this topic')
    .option('--level <level>', 'with --random: of this level')
    .addOption(language())
    .addHelpText('after', '\nExamples:\n  sudo hardway practice start pending\n  sudo hardway practice start --random')
    .action(start);
  sub('task', 'Shows the ticket again.').action(task);
  sub('check', 'Looks whether it is repaired, and nothing else was harmed; exit code 1 where not.')
    .option('--json', 'one JSON object a line')
    .action(checkExercise);
  sub('hint', 'Shows the next of three hints: where to look, what to read, the line.').action(hint);
  sub('solution', 'Shows the commands of one way to repair it.').action(solution);
  sub('give-up', 'Takes the fault back, and waits until the lab is healthy.').action(giveUp);
  return practice;
};
