import { existsSync, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { languageOf, languageVariable } from '../lib/engine/text.ts';
import { launcher } from '../lib/host/paths.ts';
import { quoted } from '../lib/host/run.ts';

/** Names of the commands, in the order of the help; bin/table.ts says what each is. */
export const commandNames = [
  'up',
  'learn',
  'next',
  'reset',
  'back',
  'status',
  'steps',
  'check',
  'doctor',
  'certs',
  'practice',
  'explain',
  'logs',
  'attach',
  'transcript',
  'kubectl',
  'demo',
  'shell',
  'init',
  'bundle',
  'vm',
  'completion',
  'man',
] as const;

/** Tells whether the shell finds this program, and no other, by its name. */
const isOnPath = (path: string): boolean => {
  const first = path
    .split(delimiter)
    .map((folder) => join(folder, 'hardway'))
    .find(existsSync);
  return first !== undefined && realpathSync(first) === realpathSync(launcher);
};

/** Variable with what is typed outside for `hardway` in this VM, where `vm up` runs the command and nobody is in the VM. */
const outsideVariable = 'HARDWAY_TYPED_OUTSIDE';

/** Tells whether this command was started in a VM from outside: hints are for the machine where they are read. */
export const isReadOutside = (): boolean => Boolean(process.env[outsideVariable]);

/** Hands the language of this person on to a VM, whose locale says nothing of it; words for env(1). */
export const inLanguage = (): readonly string[] => [`${languageVariable}=${languageOf(undefined)}`];

/** Returns the words that run a command of hardway in a VM, whose hints are then for this machine. */
export const fromOutside = (vm: string): readonly string[] => [
  'env',
  ...inLanguage(),
  `${outsideVariable}=${calledAs()} vm exec ${vm} -- hardway`,
  'hardway',
];

/** Makes the environment of a shell in which hints are for that shell. */
export const insideEnvironment = (): Readonly<Record<string, string>> => ({ [outsideVariable]: '' });

/**
 * Returns the word by which this program is called: its name where the shell finds it by that, else the path that was
 * typed, as bin/hardway hands it over. A link that `up` has made meanwhile counts.
 */
const calledAs = (): string => {
  const outside = process.env[outsideVariable];
  if (outside) return outside;
  const typed = process.env['HARDWAY_CALLED'];
  return !typed || isOnPath(process.env['PATH'] ?? '') ? 'hardway' : quoted([typed]);
};

const mentions = new RegExp(String.raw`(?<![\w./-]|-- )hardway(?= (?:${commandNames.join('|')})\b)`, 'g');

/**
 * Returns a text for a person with each command of hardway in it as that person can type it. What is after -- is typed
 * in a VM.
 */
export const asTyped = (text: string, called = calledAs()): string => text.replaceAll(mentions, () => called);
