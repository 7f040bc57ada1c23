import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Language, languageVariable } from '../../lib/engine/text.ts';
import { labEnvironment } from '../../lib/host/paths.ts';
import { attach, quoted } from '../../lib/host/run.ts';
import { insideEnvironment } from '../typed.ts';

/** What a shell is opened with. */
export interface ShellStart {
  /** Commands that the up arrow has, the first one last typed. */
  readonly history?: readonly string[];
  /** Printed at the start, and again by the command `tasks`. */
  readonly words?: string;
  /** Language in which hardway speaks there. */
  readonly language?: Language;
  /** File whose content stands in the prompt. */
  readonly promptFile?: string;
}

/**
 * Returns the start-up file of bash: the person's own settings, completion where there are bash-completion and kubectl, then
 * a prompt that tells where one is.
 */
const startUp = ({ history = [], words, promptFile }: ShellStart): string => `
[ -f ~/.bashrc ] && . ~/.bashrc
[ -f /usr/share/bash-completion/bash_completion ] && . /usr/share/bash-completion/bash_completion
if command -v kubectl >/dev/null; then
  . <(kubectl completion bash)
  alias k=kubectl
  complete -o default -F __start_kubectl k
fi
export EDITOR=\${EDITOR:-vi}
HISTFILE=
history -c
${history.map((command) => `history -s ${quoted([command])}`).join('\n')}
${words === undefined ? '' : `tasks() { printf '%s\\n' ${quoted([words])}; }\ntasks`}
PS1='(hardway${promptFile === undefined ? '' : ` $(cat ${promptFile} 2>/dev/null)`}) \\w \\$ '
`;

/** Opens a shell in which kubectl, etcdctl, crictl and ctr reach this cluster; returns its exit code. */
export const openShell = (start: ShellStart = {}): Promise<number> => {
  const shell = process.env['SHELL'] ?? '/bin/bash';
  const { language } = start;
  const env = {
    ...labEnvironment(),
    ...insideEnvironment(),
    ...(language && { [languageVariable]: language }),
    HARDWAY_START_UP: startUp(start),
  };
  return shell.endsWith('/bash')
    ? attach(shell, ['-c', 'exec "$0" --rcfile <(printf %s "$HARDWAY_START_UP") -i', shell], env)
    : attach(shell, [], env);
};

/**
 * Opens a shell whose prompt shows what `ticks` returns, looked at every two seconds as long as the shell is open. What
 * `ticks` throws is left to the next look.
 */
export const openTickingShell = async (start: ShellStart, ticks: () => Promise<string>): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'hardway-prompt-'));
  const promptFile = join(folder, 'ticks');
  let looking: Promise<void> | undefined;
  const look = (): void => {
    looking ??= ticks()
      .then((text) => writeFile(promptFile, text))
      .catch(() => {})
      .finally(() => {
        looking = undefined;
      });
  };
  await writeFile(promptFile, await ticks().catch(() => ''));
  const timer = setInterval(look, 2000);
  try {
    await openShell({ ...start, promptFile });
  } finally {
    clearInterval(timer);
    await looking;
    await rm(folder, { recursive: true });
  }
};
