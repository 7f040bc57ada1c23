import { Argument, Command, Option } from 'commander';
import { exampleLab } from '../../lib/engine/lab.ts';
import { readOnlyContext } from '../../lib/engine/runner.ts';
import { readState } from '../../lib/engine/state.ts';
import { languageOf, languages } from '../../lib/engine/text.ts';
import { paths } from '../../lib/host/paths.ts';
import { stepIds, stepsWith } from '../../steps/index.ts';
import { requireLab } from '../lab.ts';
import { explainLive, explainWord, type Subject, subjects } from '../teach/explain.ts';
import { topics } from '../teach/lesson.ts';
import { oneOf } from '../values.ts';

interface Options {
  readonly lang?: string;
  readonly namespace: string;
}

const explain = async (word: string, name: string | undefined, { lang, namespace }: Options): Promise<void> => {
  const language = languageOf(lang);
  const subject = subjects.find((one) => one === word) as Subject | undefined;
  if (subject && (name !== undefined || subject === 'request')) {
    const { lab } = await requireLab();
    const context = readOnlyContext(lab, stepsWith(lab));
    process.stdout.write(`${await explainLive(subject, name, context, { namespace, language })}\n`);
    return;
  }
  const state = process.getuid?.() === 0 ? await readState(paths.state) : undefined;
  process.stdout.write(`${await explainWord(word, { lab: state?.lab ?? exampleLab }, language)}\n`);
};

export const command = (): Command =>
  new Command('explain')
    .description(
      'Explains a step, a component with each of its flags, or a word; and of the live cluster the path\nthrough a Service, the story of a Pod, a certificate, or what one request goes through.',
    )
    .addArgument(
      oneOf(new Argument('<what>', 'a step, a word of the lessons, or what runs'), [
        ...subjects,
        ...topics,
        ...stepIds,
      ]),
    )
    .argument('[name]', 'the Service, Pod or certificate')
    .option('-n, --namespace <namespace>', 'where the Service or Pod is', 'default')
    .addOption(oneOf(new Option('--lang <language>', 'from LANG by default'), languages))
    .addHelpText(
      'after',
      '\nExamples:\n  hardway explain kube-apiserver --lang fr\n  sudo hardway explain service web\n  sudo hardway explain pod web-5d8f7c9b4-abcde\n  sudo hardway explain cert apiserver\n  sudo hardway explain request',
    )
    .action(explain);
