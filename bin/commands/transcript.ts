import { Command } from 'commander';
import type { Lab } from '../../lib/engine/lab.ts';
import { type Language, languageOf, languages } from '../../lib/engine/language.ts';
import { readLesson } from '../../lib/engine/lesson.ts';
import { oneOf } from '../../lib/engine/nearest.ts';
import { guideWarning, theLab } from '../lab.ts';
import { type HandStep, preamble, stepsByHand } from '../transcript.ts';

const formats = ['sh', 'md'] as const;

const script = (lab: Lab, steps: readonly HandStep[]): string => {
  const warning = guideWarning(lab);
  return [
    preamble(lab),
    ...(warning ? [`# ${warning}\n`] : []),
    ...steps.map(({ step, commands }) => `# ---- ${step.id}: ${step.title}\n${commands.join('\n')}\n`),
    'echo done',
  ].join('\n');
};

const words: Readonly<Record<Language, Readonly<Record<'title' | 'run' | 'look' | 'notes', string>>>> = {
  en: { title: 'Kubernetes the hard way, on', run: 'What was run', look: 'What to see', notes: 'Notes' },
  fr: { title: 'Kubernetes à la dure, sur', run: 'Ce qui a été lancé', look: 'À voir', notes: 'Notes' },
};

/** Room for somebody's own words, on paper too. */
const room = `${'.'.repeat(72)}\n\n`.repeat(4);

/** One step of the hand-out: its lesson, its commands, what to look at, and a place for notes. */
const handStep = async ({ step, commands }: HandStep, number: number, language: Language): Promise<string> => {
  const { title, sections } = await readLesson(step.id, language);
  const { run, look, notes } = words[language];
  const seen = (step.observations ?? []).map(
    ({ phrase, command }) => `- ${phrase[language]}\n\n  \`\`\`sh\n  ${command}\n  \`\`\`\n`,
  );
  return [
    `## ${number}. ${title}\n`,
    ...sections.map(({ heading, text }) => `### ${heading}\n\n${text.replaceAll(/^### /gm, '#### ')}\n`),
    `### ${run}\n\n\`\`\`\`sh\n${commands.join('\n')}\n\`\`\`\`\n`,
    ...(seen.length > 0 ? [`### ${look}\n\n${seen.join('\n')}`] : []),
    `### ${notes}\n\n${room}`,
  ].join('\n');
};

const handOut = async (lab: Lab, steps: readonly HandStep[], language: Language): Promise<string> => {
  const parts = await Promise.all(steps.map((step, index) => handStep(step, index + 1, language)));
  const warning = guideWarning(lab);
  return [
    `# ${words[language].title} ${lab.node.name}\n`,
    ...(warning ? [`> ${warning}\n`] : []),
    `\`\`\`\`sh\n${preamble(lab)}\`\`\`\`\n`,
    ...parts,
  ].join('\n');
};

const tell = async ({ format, lang }: { format: string; lang?: string }): Promise<void> => {
  const kind = oneOf('format', formats, format);
  const language = languageOf(lang);
  const state = await theLab();
  const steps = await stepsByHand(state);
  const text = kind === 'sh' ? script(state.lab, steps) : await handOut(state.lab, steps, language);
  process.stdout.write(`${text}\n`);
};

export const command = (): Command =>
  new Command('transcript')
    .description(
      'Prints this lab as commands that a person can type: a script, or a hand-out with the lessons.\nNo private key is in it: the script makes new ones.',
    )
    .option('--format <format>', `${formats.join(', ')}: a script, or a hand-out with lessons and room for notes`, 'md')
    .option('--lang <language>', `language of the hand-out: ${languages.join(', ')}; from LANG by default`)
    .addHelpText(
      'after',
      '\nExamples:\n  sudo hardway transcript --format sh > lab.sh\n  sudo hardway transcript --format md --lang fr > lab.md',
    )
    .action(tell);
