import { Command, Option } from 'commander';
import { languageOf, languages } from '../../lib/engine/text.ts';
import { checkName } from '../../lib/vm/record.ts';
import { up } from '../up/up.ts';
import { oneOf } from '../values.ts';
import { bringUpInVm } from '../vm/actions.ts';

interface Options {
  readonly here?: boolean;
  readonly lang?: string;
  readonly plain?: boolean;
}

const learn = async (name: string, { here, plain, ...options }: Options): Promise<void> => {
  const lang = languageOf(options.lang);
  if (here) return up({ pause: true, lang, ...(plain && { plain }) });
  const flags = ['--pause', '--lang', lang, ...(plain ? ['--plain'] : [])];
  await bringUpInVm(checkName(name), { kind: 'container', flavour: 'plain' }, flags);
};

/** Makes the command `hardway learn`: every component with its lesson, in a throw-away VM. */
export const command = (): Command =>
  new Command('learn')
    .description(
      'An evening with every component: before each starts, what does not work without it,\nand a guess; after it, what is true now, something to do, a question. Goes on where\nit was stopped.',
    )
    .argument('[NAME]', 'the throw-away VM on this machine that it happens in', 'learn')
    .option('--here', 'no VM: this machine becomes the lab')
    .addOption(oneOf(new Option('--lang <language>', 'language of the lessons; from LANG by default'), languages))
    .option('--plain', 'lines only: nothing is drawn twice, as for a screen reader')
    .addHelpText('after', '\nExamples:\n  hardway learn\n  hardway learn --lang fr\n  sudo hardway learn --here')
    .action(learn);
