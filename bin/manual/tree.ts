import type { Argument, Command, Option } from 'commander';
import { paths } from '../../lib/host/paths.ts';

/** What may stand for a value: one of these words, a folder, a VM of this machine, or what nobody can know. */
export type Values = readonly string[] | 'folder' | 'vm' | 'any';

interface OptionRow {
  /** Its names: --follow and -f. */
  readonly names: readonly string[];
  /** What stands for its value, in brackets; absent for an option without one. */
  readonly placeholder?: string;
  readonly values?: Values;
  readonly description: string;
}

interface ArgumentRow {
  readonly name: string;
  readonly description: string;
  readonly values: Values;
}

/** A command as the command line declares it, for completions and the manual page. */
export interface CommandRow {
  /** Its words: `hardway vm up`. */
  readonly words: string;
  /** Its arguments in one text: `[options] [NAME]`. */
  readonly usage: string;
  readonly summary: string;
  readonly description: string;
  readonly arguments: readonly ArgumentRow[];
  readonly options: readonly OptionRow[];
  /** Its own commands. */
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  /** Examples, a line each; none where it has only commands of its own. */
  readonly examples: readonly string[];
}

/** Placeholders whose values are found when they are asked for. */
const found: Readonly<Record<string, Values>> = { folder: 'folder', NAME: 'vm' };
/** Folder that holds a folder for each VM. Only root may list it, so only root gets their names. */
export const vmFolder = paths.vms;

const valuesOf = (declared: Option | Argument, placeholder: string): Values =>
  declared.argChoices ?? found[placeholder] ?? 'any';

const optionRow = (option: Option): OptionRow => {
  const names = [option.long, option.short].filter((name) => name !== undefined);
  const placeholder = /[<[].+[>\]]/.exec(option.flags)?.[0];
  return {
    names,
    description: option.description,
    ...(placeholder !== undefined && { placeholder, values: valuesOf(option, placeholder.slice(1, -1)) }),
  };
};

/** Returns the lines below `Examples:` in the help of a command. */
const examplesOf = (command: Command): readonly string[] => {
  const parts: string[] = [];
  const write = command.configureOutput().writeOut;
  command.configureOutput({ writeOut: (text) => void parts.push(text) }).outputHelp();
  command.configureOutput({ ...(write && { writeOut: write }) });
  const [, lines = ''] = parts.join('').split(/^(?:For example|Examples?):\n/m);
  return lines.split('\n').flatMap((line) => line.trim() || []);
};

/** Returns a command and, after it, all of its own, however deep. */
export const rowsOf = (command: Command, before = ''): readonly CommandRow[] => {
  const help = command.createHelp();
  const words = `${before}${command.name()}`;
  const own = help.visibleCommands(command).filter((one) => command.commands.includes(one));
  const row: CommandRow = {
    words,
    usage: command.usage(),
    summary: command.summary() || command.description(),
    description: command.description(),
    arguments: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      description: argument.description,
      values: valuesOf(argument, argument.name()),
    })),
    options: help.visibleOptions(command).map(optionRow),
    commands: own.map((one) => ({ name: one.name(), summary: one.summary() || one.description() })),
    examples: examplesOf(command),
  };
  return [row, ...own.flatMap((one) => rowsOf(one, `${words} `))];
};
