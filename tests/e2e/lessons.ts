import { expect } from 'vitest';
import { readLesson, readTopic, type Trial, topics } from '../../bin/teach/lesson.ts';
import type { Language } from '../../lib/engine/text.ts';
import { labEnvironment, paths } from '../../lib/host/paths.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';

const locales: Readonly<Record<Language, string>> = { en: 'C', fr: 'fr_FR.UTF-8' };

/** As a learner types it in the shell that hardway opens; what it printed, errors too. */
const typed = async (vm: Vm, command: string, language: Language): Promise<string> => {
  const env = {
    ...labEnvironment(),
    PATH: `${paths.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    LANG: locales[language],
  };
  return (await execInVm(vm, ['sh', '-c', `exec 2>&1\n${command}`], { env })).stdout;
};

/** The words by themselves: Ready is not in NotReady. */
const byThemselves = (words: string): RegExp => {
  const literally = words.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`${/^\w/.test(words) ? '(?<!\\w)' : ''}${literally}${/\w$/.test(words) ? '(?!\\w)' : ''}`);
};

/** Types each command, as a learner of that language, and expects that it shows what the lesson says. */
export const tryAll = async (vm: Vm, trials: readonly Trial[], language: Language): Promise<void> => {
  for (const { command, expected } of trials) {
    const answer = await typed(vm, command, language);
    for (const words of expected) expect(answer, command).toMatch(byThemselves(words));
  }
};

/** The commands of the lesson of a step or of a topic. */
export const tryLesson = async (vm: Vm, name: string, language: Language): Promise<void> => {
  const topic = topics.find((one) => one === name);
  const { trials } = topic ? await readTopic(topic, language) : await readLesson(name, language);
  await tryAll(vm, trials, language);
};
