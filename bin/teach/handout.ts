import type { Lab } from '../../lib/engine/lab.ts';
import { warningsOf } from '../../lib/engine/lab.ts';
import { type ObservationRecords, recordedLines } from '../../lib/engine/observations.ts';
import type { LabStep } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import { resetTo } from '../lab.ts';
import { readLesson } from './lesson.ts';
import { assertNoPrivateKey, type ManualStep, preamble } from './script.ts';

interface Words {
  readonly title: string;
  readonly run: string;
  readonly look: string;
  readonly notes: string;
  readonly nothing: string;
  /** `back` is the command that takes the lab back to before the observation. */
  readonly unseen: (back: string) => string;
}

const words: Readonly<Record<Language, Words>> = {
  en: {
    title: 'Kubernetes the hard way, on',
    run: 'What was run',
    look: 'What to see',
    notes: 'Notes',
    nothing: 'The command prints nothing.',
    unseen: (back) => `Not recorded: \`${back}\`, then \`hardway next\` or \`hardway up --observe\`, records it.`,
  },
  fr: {
    title: 'Kubernetes à la dure, sur',
    run: 'Ce qui a été lancé',
    look: 'À voir',
    notes: 'Notes',
    nothing: 'La commande n’affiche rien.',
    unseen: (back) => `Non enregistré : \`${back}\`, puis \`hardway next\` ou \`hardway up --observe\`, l’enregistre.`,
  },
};

/** Dotted lines for a reader's notes, on paper too. */
const noteLines = `${'.'.repeat(72)}\n\n`.repeat(4);

/** Indents lines below an item of a list. */
const indented = (...lines: readonly string[]): string => lines.map((line) => `  ${line}`.trimEnd()).join('\n');

/** Returns the observations of a step with their recorded output. `before` is the id of the step in front of it. */
const observationSection = (
  { id, observations }: LabStep,
  before: string | undefined,
  seen: ObservationRecords,
  language: Language,
) =>
  observations.map((observation) => {
    const lines = recordedLines(seen, id, observation);
    assertNoPrivateKey(lines ?? []);
    const { nothing, unseen } = words[language];
    const output = lines?.length ? ['````text', ...lines, '````'] : [lines ? nothing : unseen(resetTo(before))];
    return `- ${observation.phrase[language]}\n\n${indented('```sh', observation.command, '```', '', ...output)}\n`;
  });

/**
 * Returns the hand-out of a lab: each step with its lesson, its commands, its observations, and a place for notes.
 * Throws when it would show a private key.
 */
export const handOut = async (
  lab: Lab,
  steps: readonly ManualStep[],
  seen: ObservationRecords,
  language: Language,
): Promise<string> => {
  const { title, run, look, notes } = words[language];
  const parts = steps.map(async ({ step, commands }, index) => {
    const lesson = await readLesson(step.id, language);
    const looks = observationSection(step, steps[index - 1]?.step.id, seen, language);
    return [
      `## ${index + 1}. ${lesson.title}\n`,
      ...lesson.sections.map(({ heading, text }) => `### ${heading}\n\n${text.replaceAll(/^### /gm, '#### ')}\n`),
      `### ${run}\n\n\`\`\`\`sh\n${commands.join('\n')}\n\`\`\`\`\n`,
      ...(looks.length > 0 ? [`### ${look}\n\n${looks.join('\n')}`] : []),
      `### ${notes}\n\n${noteLines}`,
    ].join('\n');
  });
  return [
    `# ${title} ${lab.node.name}\n`,
    ...warningsOf(lab, language).map((warning) => `> ${warning}\n`),
    `\`\`\`\`sh\n${preamble(lab)}\`\`\`\`\n`,
    ...(await Promise.all(parts)),
  ].join('\n');
};
