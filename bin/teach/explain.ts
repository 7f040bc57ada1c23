import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { type Daemon, filesReadBy } from '../../lib/engine/daemon.ts';
import { Bug, UserError } from '../../lib/engine/errors.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';
import type { Context } from '../../lib/engine/step.ts';
import type { Language } from '../../lib/engine/text.ts';
import { certificates, everyName, type NamedCertificate, requestsFor } from '../../steps/certificates.ts';
import { stepIds, stepsWith } from '../../steps/index.ts';
import { certificateLine, explainCertificate } from './explain/certificate.ts';
import { explainPod } from './explain/pod.ts';
import { explainRequest } from './explain/request.ts';
import { explainService } from './explain/service.ts';
import { readLesson, readTopic, topics } from './lesson.ts';
import { noteOn } from './notes.ts';
import { commandPage, configPage, lessonPage, wrapped } from './pages.ts';
import { words } from './words.ts';

const glossary = async (language: Language): Promise<Readonly<Record<string, string>>> =>
  parse(await readFile(`${import.meta.dirname}/../../lessons/${language}/glossary.yaml`, 'utf8'));

/** Returns the certificates of a daemon: those that its flags, its configuration or its kubeconfig name. */
const certificatesOf = (daemon: Daemon, certificates: readonly NamedCertificate[]): readonly NamedCertificate[] => {
  const files = filesReadBy(daemon);
  return certificates.filter(({ name }) =>
    files.some((file) => file.endsWith(`/certs/${name}.pem`) || file.endsWith(`/kubeconfigs/${name}.conf`)),
  );
};

/** Returns the reason of a certificate's template in a lab, from the lesson of the certificates. */
const certificateReasons = async (lab: Lab, language: Language) => {
  const { notes } = await readLesson(certificates.id, language);
  return ({ template }: NamedCertificate): string => noteOn(notes, template, lab).reason ?? '';
};

/** Returns the part on the account of a daemon and the files that it is handed; none for a daemon of root's. */
const accountPart = ({ name, user, handed = [] }: Daemon, language: Language): readonly string[] =>
  user === undefined
    ? []
    : [
        `## User=${user}\n${wrapped(`${name} ${words[language].account(user)}`, 2)}\n${handed.map((file) => `    ${file}`).join('\n')}`,
      ];

/**
 * Explains a step or component: its lesson; each flag with its value, its reason and what would happen without it; its
 * certificates.
 */
const explainStep = async (id: string, lab: Lab, language: Language): Promise<string> => {
  const lesson = await readLesson(id, language);
  const daemon = stepsWith(lab).find((step) => step.id === id)?.daemon;
  if (!daemon) return lessonPage(lesson);
  const notesOn = (name: string): readonly string[] => {
    const { reason, consequence } = noteOn(lesson.notes, name, lab);
    return [...(reason ? [reason] : []), ...(consequence ? [words[language].without(consequence)] : [])];
  };
  const file = daemon.flags.find(({ name }) => name === 'config')?.value;
  const held = certificatesOf(daemon, everyName(await requestsFor(lab)));
  const reasonOf = await certificateReasons(lab, language);
  return [
    lessonPage(lesson),
    `## ${id}\n${commandPage(daemon, ({ name }) => notesOn(`--${name}`))}`,
    ...accountPart(daemon, language),
    ...(daemon.config ? [`## ${file}\n${configPage(daemon, ({ name }) => notesOn(name))}`] : []),
    ...(held.length > 0
      ? [`## certs\n${held.map((one) => wrapped(certificateLine(one, reasonOf(one)), 2)).join('\n')}`]
      : []),
  ].join('\n\n');
};

/** Explains a step, a component, a topic or a word of the glossary. Throws UserError that names the nearest. */
export const explainWord = async (word: string, { lab }: Pick<Context, 'lab'>, language: Language): Promise<string> => {
  const known = await glossary(language);
  const asked = word.toLowerCase();
  const name = parseChoice(
    'word to explain',
    [...new Set([...stepIds, ...topics, ...Object.keys(known)])],
    asked in known || stepIds.includes(asked) ? asked : word,
  );
  const topic = topics.find((one) => one === name);
  if (topic) return lessonPage(await readTopic(topic, language));
  const colon = language === 'fr' ? ' :' : ':';
  return stepIds.includes(name) ? explainStep(name, lab, language) : `${name}${colon} ${known[name]}`;
};

/** Kinds of things of a live cluster that can be explained. */
export const subjects = ['service', 'pod', 'cert', 'request'] as const;
export type Subject = (typeof subjects)[number];

/** Explains a thing of the live cluster. Throws UserError where there is none of that name. */
export const explainLive = async (
  subject: Subject,
  name: string | undefined,
  context: Context,
  { namespace, language }: { readonly namespace: string; readonly language: Language },
): Promise<string> => {
  if (subject === 'request') return explainRequest(language);
  if (name === undefined)
    throw new UserError(
      `explain ${subject} wants a name`,
      `such as: hardway explain ${subject} ${subject === 'cert' ? 'apiserver' : 'NAME'}`,
    );
  if (subject === 'service') return explainService(context, namespace, name, language);
  if (subject === 'pod') return explainPod(context, namespace, name, language);
  const all = everyName(await requestsFor(context.lab));
  const wanted = parseChoice(
    'certificate',
    all.map((one) => one.name),
    name,
  );
  const certificate = all.find((one) => one.name === wanted);
  if (!certificate) throw new Bug(`${wanted} was found and is not there`);
  return explainCertificate(certificate, (await certificateReasons(context.lab, language))(certificate));
};
