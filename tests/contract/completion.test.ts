import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { commandNames } from '../../bin/typed.ts';
import { fields, variableOf } from '../../lib/engine/settings.ts';
import { findCommand, quoted, run, tryRun } from '../../lib/host/run.ts';
import { stepIds } from '../../steps/index.ts';
import { scratchFolder } from '../fixtures.ts';

const program = join(import.meta.dirname, '../../bin/cli.ts');

let scratch = '';
beforeAll(async () => {
  const { path, remove } = await scratchFolder();
  scratch = path;
  await Promise.all(
    [['completion', 'bash'], ['completion', 'zsh'], ['completion', 'fish'], ['man']].map(async (words) => {
      const { stdout } = await run(process.execPath, [program, ...words]);
      await writeFile(join(scratch, words.at(-1) ?? ''), `${stdout}\n`);
    }),
  );
  return remove;
});

const needs = async ({ skip }: TestContext, command: string): Promise<void> =>
  skip((await findCommand(command)) === undefined, `${command} is not here; type: apt-get install ${command}`);

/** What is typed, with a tab at each >, and the words that the command then gets. */
const lines: readonly (readonly [typed: string, words: readonly string[]])[] = [
  ['trans>--form>m>', ['transcript', '--format', 'md']],
  ['up --to kube-api>', ['up', '--to', 'kube-apiserver']],
  ['up --to=et>', ['up', '--to=etcd']],
  ['next --lang f>', ['next', '--lang', 'fr']],
  ['up --pause --sup>t>', ['up', '--pause', '--supervisor', 'tmux']],
  ['check kube-pr>', ['check', 'kube-proxy']],
  ['logs -n 3 kubel>', ['logs', '-n', '3', 'kubelet']],
  ['vm cre>--ki>q>', ['vm', 'create', '--kind', 'qemu']],
  ['vm up lab -- --cni br>', ['vm', 'up', 'lab', '--', '--cni', 'bridge']],
  ['explain serv>', ['explain', 'service']],
  ['up --from /us>', ['up', '--from', '/usr']],
];

/** Types the lines into an interactive shell on a terminal of its own; returns the words that `hardway` was given. */
const typeInto = async (shell: readonly string[], start: readonly string[]): Promise<readonly string[]> => {
  const input = [
    'hardway() { printf \'\\n<%s>\' "$*"; echo; }',
    ...start,
    ...lines.map(([typed]) => `hardway ${typed.replaceAll('>', '\t')}`),
    'exit',
    '',
  ].join('\n');
  const { stdout } = await tryRun('script', ['-qefc', quoted(shell), '/dev/null'], {
    input,
    env: { HOME: scratch, TERM: 'dumb' },
    timeout: 60_000,
  });
  return [...stdout.matchAll(/^<(.+)>\r?$/gm)].map(([, words]) => (words ?? '').replace(/\/$/, ''));
};

const wanted = lines.map(([, words]) => words.join(' '));

describe('what is typed before a tab is completed', () => {
  test('by bash', async () => {
    expect(await typeInto(['bash', '--norc', '--noprofile', '-i'], [`source ${scratch}/bash`])).toEqual(wanted);
  });

  test('by zsh', async (context) => {
    await needs(context, 'zsh');
    const start = ['autoload -U compinit; compinit -u -D', `source ${scratch}/zsh`];
    expect(await typeInto(['zsh', '-f', '-i'], start)).toEqual(wanted);
  });

  test('by fish, which completes no option after --', async (context) => {
    await needs(context, 'fish');
    const offered = async (line: string) => {
      const words = ['--no-config', '-c', `source ${scratch}/fish; complete -C ${quoted([line])}`];
      const { stdout } = await run('fish', words, { env: { HOME: scratch } });
      return stdout.split('\n').map((found) => found.split('\t')[0]?.replace(/\/$/, ''));
    };
    for (const [typed, words] of lines) {
      const parts = typed.split('>');
      if (parts.length > 2 || typed.includes(' -- ')) continue; // a line with one tab can be asked for at once
      expect(await offered(`hardway ${parts[0]}`), typed).toEqual([words.at(-1)]);
    }
    expect(await offered('hardway ')).toEqual(expect.arrayContaining([...commandNames]));
  });
});

test('bash offers every command, and every step where a step is meant', async () => {
  const script = `source ${scratch}/bash
    offered() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _hardway; echo "\${COMPREPLY[*]}"; }
    offered hardway ''; offered hardway up --to ''`;
  const [commands = '', steps = ''] = (await run('bash', ['-c', script])).stdout.split('\n');
  expect(commands.split(' ')).toEqual([...commandNames]);
  expect(steps.split(' ')).toEqual(stepIds);
});

describe('the manual page', () => {
  test('is right for mandoc, but for a date, which no build of it has', async (context) => {
    await needs(context, 'mandoc');
    const { stdout, stderr } = await tryRun('mandoc', ['-Tlint', '-W', 'warning', join(scratch, 'man')]);
    const found = `${stdout}\n${stderr}`.split('\n').filter((line) => line.includes('mandoc:'));
    expect(found.filter((line) => !line.includes('missing date'))).toEqual([]);
  });

  test('has every command and every variable, as a person reads it', async (context) => {
    await needs(context, 'mandoc');
    const { stdout } = await run('mandoc', ['-Tutf8', '-O', 'width=200', join(scratch, 'man')]);
    const text = stdout.replaceAll(/.[\b]/g, ''); // a letter that is struck twice is bold
    for (const name of commandNames.filter((one) => one !== 'vm'))
      expect(text).toMatch(new RegExp(`^ +hardway ${name} `, 'm'));
    for (const field of fields) expect(text).toContain(variableOf(field));
    expect(text).toContain('hardway vm exec');
    expect(text).toContain('sudo hardway logs kubelet -f');
    expect(await readFile(join(scratch, 'man'), 'utf8')).toContain('.SH EXIT STATUS');
  });
});
