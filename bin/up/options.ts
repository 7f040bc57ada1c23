import { type Command, Option } from 'commander';
import { kubernetesVersions } from '../../lib/binaries/versions.ts';
import { type Field, fields, optionOf, settings, usualOf } from '../../lib/engine/settings.ts';
import { languages } from '../../lib/engine/text.ts';
import { extras, stepIds } from '../../steps/index.ts';
import { oneOf } from '../values.ts';

/** Values of settings that lib/binaries/versions.yaml has. */
const listed: Readonly<Partial<Record<Field, () => readonly string[]>>> = { kubernetes: kubernetesVersions };

/** Declares the option of a setting. */
export const settingOption = (field: Field): Option => {
  const { placeholder, meaning, values } = { values: [], ...settings[field] };
  const option = new Option(`${optionOf(field)} <${placeholder}>`, `${meaning}; by default ${usualOf(field)}`);
  const choices = listed[field]?.() ?? values;
  return choices.length > 0 ? oneOf(option, choices) : option;
};

/** Declares the options of `hardway up`, which `hardway vm up` reads as well. */
export const withUpOptions = (command: Command): Command => {
  command.addOption(oneOf(new Option('--to <step>', 'stop after a step'), stepIds));
  for (const field of fields) command.addOption(settingOption(field));
  return command
    .addOption(oneOf(new Option('--with <extra>', 'what a lab has only when asked'), extras))
    .option('--from <folder>', 'the folder of --source dir, the file of --source bundle')
    .option('--observe', 'after each step look at what has become true, with the commands that show it')
    .option('--pause [steps]', 'stop after each step, or after those named (kubelet,network), with its lesson')
    .addOption(oneOf(new Option('--lang <language>', 'language of what is taught; from LANG by default'), languages))
    .option('--plain', 'lines only: nothing is drawn twice, as for a screen reader')
    .option('--dry-run', 'say what would be done and touch nothing')
    .option('--json', 'one JSON object a line');
};
