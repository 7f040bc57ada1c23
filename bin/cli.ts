import { dirname } from 'node:path';
import { Command, CommanderError } from 'commander';
import { isBug, reasonOf, sentenceOf, Unhealthy, UserError } from '../lib/engine/errors.ts';
import type { RunEvent } from '../lib/engine/events.ts';
import { requireOwnPlaces } from '../lib/engine/own.ts';
import packageJson from '../package.json' with { type: 'json' };
import { Interrupted } from './interrupt.ts';
import { commands } from './table.ts';
import { asTyped, commandNames } from './typed.ts';

/** Lets a command throw where it would exit, and name commands as the person can type them. */
const prepare = (command: Command): void => {
  command.exitOverride().configureOutput({
    writeOut: (text) => process.stdout.write(asTyped(text)),
    writeErr: (text) => process.stderr.write(asTyped(text)),
  });
  for (const one of command.commands) prepare(one);
};

const build = async (asked: string | undefined): Promise<Command> => {
  const program = new Command('hardway')
    .description(
      'Kubernetes the hard way, as a program: every component a real process,\nstarted in order, each with its certificate, its flags and its health check.',
    )
    .version(packageJson.version)
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .addHelpText(
      'after',
      '\nExamples:\n  hardway vm up            a cluster in a throw-away VM\n  hardway learn            take it apart, one component after the other\n  sudo hardway up          make this machine a cluster\n  hardway up --to etcd     stop after a step',
    );
  const command = commandNames.find((one) => one === asked);
  const all = command !== undefined && commands[command].tellsOfAll;
  for (const name of commandNames) {
    const { summary, load } = commands[name];
    if (all || name === asked) program.addCommand((await load()).command().name(name).summary(summary));
    else program.command(name, { hidden: false }).summary(summary);
  }
  prepare(program);
  return program;
};

const say = (text: string): void => {
  process.stderr.write(`${asTyped(text)}\n`);
};

/** Prints an error: the message, the last log lines where there are any, the next command. Returns the exit code. */
const explain = (error: unknown): number => {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof Interrupted) {
    say(`\n${error.message}\nnext: ${error.next}`);
    return 130;
  }
  if (error instanceof UserError) {
    say(`hardway: ${error.message}${error.next ? `\nnext: ${error.next}` : ''}`);
    return 2;
  }
  if (error instanceof Unhealthy) {
    const lines = error.log.map((line) => `  ${line.length > 300 ? `${line.slice(0, 300)} ...` : line}`); // etcd writes stacks
    const log = lines.length > 0 ? `\nlast log lines:\n${lines.join('\n')}` : '';
    say(`hardway: ${error.message}${log}${error.next ? `\nnext: ${error.next}` : ''}`);
    return 1;
  }
  if (isBug(error)) {
    say(`hardway: this is a bug in hardway\n${error instanceof Error ? error.stack : String(error)}`);
    return 70;
  }
  say(
    `hardway: ${sentenceOf(error)}\nnext: mend that, then the same command again; hardway status shows how the lab is`,
  );
  return 1;
};

/** Prints the last line of `--json` for a command that failed; one that succeeded has printed its own. */
const endJson = (program: Command | undefined, error: unknown): void => {
  const words = process.argv.slice(2);
  const command = words.reduce<Command | undefined>(
    (above, word) => above?.commands.find((one) => one.name() === word) ?? above,
    program,
  );
  if (!words.includes('--json') || !command?.options.some(({ long }) => long === '--json')) return;
  const seconds = Math.round(performance.now()) / 1000; // since the start of the program
  const event: RunEvent = { event: 'done', ok: false, seconds, reason: reasonOf(error) };
  process.stdout.write(`${JSON.stringify(event)}\n`);
};

// A reader that closes the pipe, as `| head` does, is no fault: the command stops.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(141);
  say(`hardway: its output cannot be written: ${sentenceOf({ ...error, path: 'where stdout leads' })}`);
  process.exit(1);
});
// Without a place for errors the exit code still tells.
process.stderr.on('error', () => {});

/** Leaves a current folder that was removed, as from nowhere no command can be started. */
const leaveRemovedFolder = (): void => {
  try {
    process.cwd();
  } catch {
    process.chdir('/');
  }
};

/** Tells whether a command reads or changes what is root's; help and the version do not. */
const needsRoot = (asked: string | undefined): boolean => {
  const name = commandNames.find((one) => one === asked);
  return name !== undefined && commands[name].needs !== 'nobody';
};

process.umask(0o022); // under sudo it is the person's: folders of the cache must be neither closed nor open to all
let program: Command | undefined;
leaveRemovedFolder();
try {
  program = await build(process.argv[2]);
  if (process.getuid?.() === 0 && needsRoot(process.argv[2])) await requireOwnPlaces(dirname(import.meta.dirname));
  await program.parseAsync();
} catch (error) {
  process.exitCode = explain(error);
  if (process.exitCode !== 0) endJson(program, error);
}
