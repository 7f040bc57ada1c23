import { Command, Option } from 'commander';
import type { Lab } from '../../lib/engine/lab.ts';
import { warningsOf } from '../../lib/engine/lab.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import { readObservations } from '../../lib/engine/observations.ts';
import { languageOf, languages } from '../../lib/engine/text.ts';
import { paths } from '../../lib/host/paths.ts';
import { requireLab } from '../lab.ts';
import { handOut } from '../teach/handout.ts';
import { type ManualStep, preamble, stepsByHand } from '../teach/script.ts';
import { oneOf } from '../values.ts';

const formats = ['sh', 'md'] as const;

const script = (lab: Lab, steps: readonly ManualStep[]): string =>
  [
    preamble(lab),
    ...warningsOf(lab, 'en').map((warning) => `# ${warning}\n`), // in English as every comment of the script
    ...steps.map(({ step, commands }) => `# ---- ${step.id}: ${step.title}\n${commands.join('\n')}\n`),
    'echo done',
  ].join('\n');

const tell = async ({ format, lang }: { format: string; lang?: string }): Promise<void> => {
  const kind = parseChoice('format', formats, format);
  const language = languageOf(lang);
  const state = await requireLab();
  const steps = await stepsByHand(state);
  const text =
    kind === 'sh'
      ? script(state.lab, steps)
      : await handOut(state.lab, steps, await readObservations(paths.seen), language);
  process.stdout.write(`${text}\n`);
};

export const command = (): Command =>
  new Command('transcript')
    .description(
      'Prints this lab as commands that a person can type: a script, or a hand-out with the lessons\nand what up --observe, up --pause and next saw. No private key is in it: the script makes new ones.',
    )
    .addOption(
      oneOf(
        new Option('--format <format>', 'a script, or a hand-out with lessons, outputs and room for notes'),
        formats,
      ).default('md'),
    )
    .addOption(oneOf(new Option('--lang <language>', 'language of the hand-out; from LANG by default'), languages))
    .addHelpText(
      'after',
      '\nExamples:\n  sudo hardway transcript --format sh > lab.sh\n  sudo hardway transcript --format md --lang fr > lab.md',
    )
    .action(tell);
