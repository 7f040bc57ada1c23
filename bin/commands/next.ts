import { Command, Option } from 'commander';
import { UserError } from '../../lib/engine/errors.ts';
import { exampleLab } from '../../lib/engine/lab.ts';
import { readState } from '../../lib/engine/state.ts';
import { languageOf, languages } from '../../lib/engine/text.ts';
import { paths } from '../../lib/host/paths.ts';
import { stepsWith } from '../../steps/index.ts';
import { words } from '../teach/words.ts';
import { asTyped } from '../typed.ts';
import { settingOption } from '../up/options.ts';
import { type Options, up } from '../up/up.ts';
import { oneOf } from '../values.ts';

const next = async (options: Options): Promise<void> => {
  const language = languageOf(options.lang);
  const state = process.getuid?.() === 0 ? await readState(paths.state) : undefined;
  const steps = stepsWith(state?.lab ?? exampleLab);
  const at = steps.findLastIndex(({ id }) => id in (state?.steps ?? {})) + 1;
  const step = steps[at];
  if (!step)
    throw new UserError(
      `there is no step left: all ${steps.length} are done`,
      'hardway status; hardway back takes the last one away',
    );
  await up({ ...options, to: step.id }, { language, pauses: new Set(), only: step.id, bare: options.json ?? false });
  if (options.json) return;
  const following = steps[at + 1]?.id;
  process.stdout.write(asTyped(`\n${following ? words[language].next(following) : words[language].end}\n`));
};

export const command = (): Command =>
  new Command('next')
    .description('Takes one step, with its lesson, its command and what has become true. No process waits in between.')
    .addOption(oneOf(new Option('--lang <language>', 'language of the lessons; from LANG by default'), languages))
    .addOption(settingOption('cni'))
    .addOption(settingOption('source'))
    .option('--from <folder>', 'the folder of --source dir')
    .option('--json', 'one JSON object a line, as for hardway up --observe; hardway explain has the lesson')
    .addHelpText('after', '\nExample:\n  sudo hardway next --lang fr')
    .action((options: Options) => next(options));
