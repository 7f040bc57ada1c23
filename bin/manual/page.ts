import { fields, settings, variableOf } from '../../lib/engine/settings.ts';
import { paths } from '../../lib/host/paths.ts';
import type { CommandRow } from './tree.ts';

/** Escapes a text for roff (groff(7)): a hyphen is one to type, and no line begins with a request. */
const roff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&');

const flow = (text: string): string => roff(text.replaceAll(/\s*\n\s*/g, ' '));

const item = (name: string, text: string): string => `.TP\n.B ${roff(name)}\n${flow(text)}`;

const choicesIn = (values: unknown): string => (Array.isArray(values) ? ` One of ${values.join(', ')}.` : '');

const sentence = (text: string): string => (/[.)]$/.test(text) ? text : `${text}.`);

const commandPart = (row: CommandRow): string =>
  [
    `.SS ${roff(`${row.words} ${row.usage}`)}`,
    flow(sentence(row.description)),
    ...row.arguments.map(({ name, description, values }) => item(name, `${sentence(description)}${choicesIn(values)}`)),
    ...row.options.map(({ names, placeholder, description, values }) =>
      item(
        `${names.join(', ')}${placeholder === undefined ? '' : ` ${placeholder}`}`,
        `${sentence(description)}${choicesIn(values)}`,
      ),
    ),
    ...(row.examples.length > 0
      ? ['.PP\nExamples:\n.PP\n.nf', ...row.examples.map((line) => `\\&    ${roff(line)}`), '.fi']
      : []),
  ].join('\n');

const files: Readonly<Record<string, string>> = {
  [paths.settings]: 'Settings; hardway init writes it.',
  [paths.root]: 'The lab: programs, certificates, kubeconfigs, data, state and ledger.',
  [paths.cache]: 'Downloads, builds and images.',
  [paths.vms]: 'Throw-away VMs.',
};

const exitCodes: Readonly<Record<string, string>> = {
  0: 'It is done.',
  1: 'The lab or the machine is not healthy.',
  2: 'What was asked cannot be.',
  70: 'A bug in hardway.',
  130: 'It was interrupted.',
};

/** Returns the manual page, in roff (man(7)), of these commands; the first is the program. */
export const manualPage = ([program, ...rows]: readonly [CommandRow, ...CommandRow[]], version: string): string =>
  [
    `.TH HARDWAY 1 "" "hardway ${version}" "User Commands"`,
    `.SH NAME\nhardway \\- ${flow(program.description.split(':')[0] ?? '')}`,
    `.SH SYNOPSIS\n.B hardway\n${roff(program.usage)}`,
    `.SH DESCRIPTION\n${flow(program.description)}`,
    `.SH COMMANDS\n${rows
      .filter(({ commands }) => commands.length === 0)
      .map(commandPart)
      .join('\n')}`,
    `.SH ENVIRONMENT\nAn option goes before a variable, a variable before ${roff(paths.settings)}.`,
    ...fields.map((field) => item(variableOf(field), `${sentence(settings[field].meaning)} In the file: ${field}.`)),
    item('HARDWAY_CACHE', `Another place for ${paths.cache}.`),
    item(
      'HARDWAY_MIRROR',
      'A mirror of the release sites: https://mirror/path serves https://dl.k8s.io/x as https://mirror/path/dl.k8s.io/x.',
    ),
    `.SH FILES\n${Object.entries(files)
      .map(([path, what]) => item(path, what))
      .join('\n')}`,
    `.SH EXIT STATUS\n${Object.entries(exitCodes)
      .map(([code, what]) => item(code, what))
      .join('\n')}`,
    '',
  ].join('\n');
