import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { commandLine, type Daemon, handedFolder } from '../engine/daemon.ts';
import { UserError } from '../engine/errors.ts';
import type { Undoer } from '../engine/gate.ts';
import { installPackages } from '../host/apt.ts';
import { statIfThere } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { paths } from '../host/paths.ts';
import { endProcess } from '../host/proc.ts';
import { CommandFailed, findCommand, quoted, run, tryRun } from '../host/run.ts';
import { type Component, isOutdated, proxyVariables, type UnitStatus } from './systemd.ts';

/** Socket of our own tmux server; other tmux servers of this machine are never touched. */
const socket = '/run/hardway-tmux';
/**
 * Unit of the tmux server. Its own unit, and so its own cgroup, keeps it from ending with the session that started it.
 */
export const tmuxUnit = 'hardway-tmux';

const folder = `${paths.config}/tmux`;
const settingsFile = `${folder}/tmux.conf`;
const logFile = (name: string): string => `${paths.logs}/${name}.log`;

/**
 * Returns the tmux session of a component: its name as the guide shortens it, `controller` for kube-controller-manager.
 */
export const sessionOf = (name: string): string => name.replaceAll(/^kube-|-manager$/g, '');
const scriptFile = (name: string): string => `${folder}/${sessionOf(name)}.sh`;

/** Returns a command to our tmux server, as typed. */
const tmux = (...args: readonly string[]): readonly string[] => ['tmux', '-S', socket, ...args];
const target = (name: string): string => `=${sessionOf(name)}`;
const newSession = (name: string): readonly string[] =>
  tmux('new-session', '-d', '-s', sessionOf(name), 'bash', scriptFile(name));
const killSession = (name: string): readonly string[] => tmux('kill-session', '-t', target(name));

const settings = `# The window of a component that has ended stays, with its last words, until hardway up starts it again.
set -g remain-on-exit on
set -s exit-empty off
set -g history-limit 20000
set -g status-left-length 20
set -g status-left '#S '
set -g automatic-rename off
`;

/**
 * Unit file of the tmux server. It is not enabled: an empty tmux after a reboot would be useless. It grants limits that
 * a terminal does not have, and lets Pods live on when it ends.
 */
const serverUnit = `[Unit]
Description=tmux: the windows of hardway's components

[Service]
Type=forking
ExecStart=/usr/bin/env ${tmux('-f', settingsFile, 'start-server').join(' ')}
KillMode=process
Delegate=yes
LimitNOFILE=1048576
TasksMax=infinity
`;

const environmentOf = ({ service = [] }: Daemon): readonly string[] =>
  service.flatMap((line) => (line.startsWith('Environment=') ? [line.slice('Environment='.length)] : []));

/** What stands between two words of a command that has one on each line. */
const lineBreak = ' \\\n  ';

/**
 * Returns the lines that hand a daemon its files, as systemd does: its account may read them and change nothing in their
 * folder, into which root writes.
 */
const handOver = ({ name, user, handed = [] }: Daemon): string => {
  if (user === undefined) return '';
  const folder = handedFolder(name);
  return `install -d -m 750 -g ${user} ${folder}
${[`install -m 440 -g ${user}`, ...handed.map((path) => quoted([path])), folder].join(lineBreak)}
`;
};

/** Returns the command that gives up root's rights for those of a daemon's account; empty for a daemon of root's. */
const asUser = ({ user }: Daemon): string =>
  user === undefined
    ? ''
    : [
        ...['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups'],
        ...['--no-new-privs', '--bounding-set=-all', '--inh-caps=-all', ''],
      ].join(lineBreak);

/** Returns the script of a component's window: it prints the command, then replaces itself by it. */
export const windowScript = (daemon: Daemon): string => `#!/bin/bash
# ${daemon.description}
# What it writes is seen in its window and kept in the log, which only root may read.
exec > >(umask 077; exec tee -ia ${logFile(daemon.name)}) 2>&1
sed 1,5d "$0"
${daemon.proxyFile ? `set -a; [ ! -e ${daemon.proxyFile} ] || . ${daemon.proxyFile}; set +a` : `unset ${proxyVariables.join(' ')}`}
${environmentOf(daemon)
  .map((one) => `export ${quoted([one])}\n`)
  .join('')}${handOver(daemon)}exec ${asUser(daemon)}${commandLine(daemon)
  .map((word) => quoted([word]))
  .join(lineBreak)}
`;

interface Pane {
  readonly session: string;
  readonly dead: boolean;
  readonly pid: number;
  /** Milliseconds of the Unix epoch. */
  readonly since: number;
  /** End of the process for a person: ": exit code 1", or empty where tmux does not know. */
  readonly end: string;
}

const format = ['session_name', 'window_index', 'pane_index', 'pane_dead', 'pane_pid', 'session_created']
  .map((one) => `#{${one}}`)
  .join(':');

/** Lists the first pane of each session of our server, which is the component's. Empty where no server runs. */
const panes = async (): Promise<ReadonlyMap<string, Pane>> => {
  if (!(await statIfThere(socket))) return new Map();
  const [file = '', ...args] = tmux('list-panes', '-a', '-F', `${format}:#{pane_dead_status}`);
  const { stdout } = await tryRun(file, args); // fails when the server has ended
  return new Map(
    stdout.split('\n').flatMap((line): readonly [string, Pane][] => {
      const [session = '', window, pane, dead, pid, created, status] = line.split(':');
      if (session === '' || window !== '0' || pane !== '0') return [];
      const end = status ? `: exit code ${status}` : '';
      return [[session, { session, dead: dead === '1', pid: Number(pid), since: Number(created) * 1000, end }]];
    }),
  );
};

const statusOf = (pane: Pane | undefined): UnitStatus => ({
  exists: pane !== undefined,
  active: pane !== undefined && !pane.dead,
  restarting: false,
  enabled: false,
  words: pane === undefined ? 'has no window in tmux' : pane.dead ? `ended in its window${pane.end}` : 'runs in tmux',
  restarts: 0,
  pid: pane && !pane.dead ? pane.pid : 0,
  since: pane && !pane.dead ? pane.since : 0,
});

/** Returns the statuses of components from our tmux server, in the order of `names`. */
export const windowStatuses = async (names: readonly string[]): Promise<readonly UnitStatus[]> => {
  const found = await panes();
  return names.map((name) => statusOf(found.get(sessionOf(name))));
};

/** Returns the last log lines of a component, oldest first. */
export const lastWindowLog = async (name: string, lines: number): Promise<readonly string[]> => {
  const { stdout } = await tryRun('tail', ['-n', String(lines), logFile(name)]);
  return stdout.split('\n').filter((line) => line !== '');
};

export const windowLogCommand = (name: string, lines: string, follow: boolean): readonly string[] => [
  'tail',
  '-n',
  lines,
  ...(follow ? ['-F'] : []),
  logFile(name),
];

/** Throws UserError inside a window of the lab: stopping the components would end this process too. */
export const requireOutside = (): void => {
  if (!process.env['TMUX']?.startsWith(`${socket},`)) return;
  throw new UserError(
    'this terminal is a window of the lab itself: it would end in the middle',
    'detach from it with Ctrl-b d, then the same command again',
  );
};

/** Ends the process of a window, by the pid that tmux has, never by name. */
const end = async ({ pid, dead }: Pane, { killAtOnce }: Component): Promise<void> => {
  if (!dead) await endProcess(pid, killAtOnce ? 'SIGKILL' : 'SIGTERM');
};

const perform = ([file = '', ...args]: readonly string[]) => run(file, args);

/** Tells whether tmux is installed. */
export const hasTmux = async (): Promise<boolean> => (await findCommand('tmux')) !== undefined;

/** Installs tmux where it is missing. Throws UserError when that fails. */
const haveTmux = async (host: Host): Promise<void> => {
  if (await hasTmux()) return;
  try {
    await installPackages(['tmux'], host.sh);
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    throw new UserError(
      `tmux is not on this machine and apt-get could not install it: ${error.words}`,
      'apt-get update && apt-get install tmux, then hardway up; or hardway up --supervisor systemd',
    );
  }
};

/**
 * Makes a daemon run as described in a tmux session of its own, until the machine is rebooted. Restarts it for a
 * changed command, or when a file that it reads is newer than the process; leaves it alone otherwise.
 */
export const ensureWindow = async (host: Host, daemon: Daemon): Promise<void> => {
  const { name } = daemon;
  await haveTmux(host);
  await host.makeDir(paths.logs, 0o700);
  await host.makeDir(folder, 0o700);
  await host.writeFile(settingsFile, settings, 0o600);
  const rewritten = await host.writeFile(scriptFile(name), windowScript(daemon), 0o700);
  const pane = (await panes()).get(sessionOf(name));
  if (pane && !pane.dead && !rewritten && !(await isOutdated(daemon, pane))) return;

  if (!(await statIfThere(logFile(name)))) await host.expect(logFile(name), 'log to');
  const [file = '', ...args] = tmux('list-sessions');
  if ((await tryRun(file, args)).code !== 0) {
    await host.expect(socket, 'tmux listens on');
    const changed = await host.writeFile(`${paths.units}/${tmuxUnit}.service`, serverUnit);
    if (changed) await host.sh(['systemctl', 'daemon-reload']);
    await host.sh(['systemctl', 'restart', tmuxUnit], { kind: 'unit', name: tmuxUnit, supervisor: 'tmux' });
  }
  if (pane && !host.dryRun) await end(pane, daemon);
  // A window that a person opened in the session keeps it alive; a new session could not have its name.
  const [known = '', ...has] = tmux('has-session', '-t', target(name));
  if ((await tryRun(known, has)).code === 0) await host.sh(killSession(name));
  await host.sh(newSession(name), { kind: 'unit', name: sessionOf(name), supervisor: 'tmux' });
};

/** Stops components, in this order, closes their sessions and removes the copies of the files that they were handed. */
export const closeWindows = async (components: readonly Component[], undoer: Undoer): Promise<void> => {
  const found = await panes();
  const there = components.filter(({ name }) => found.has(sessionOf(name)) || existsSync(handedFolder(name)));
  if (there.length === 0) return;
  await undoer.apply(there.map(({ name }) => name).join(', '), async () => {
    for (const component of there) {
      const pane = found.get(sessionOf(component.name));
      if (pane) {
        await end(pane, component);
        await perform(killSession(component.name));
      }
      await rm(handedFolder(component.name), { recursive: true, force: true });
    }
  });
};

/** Ends the tmux server once none of the remaining components has a window in it. */
export const endServer = async (remaining: readonly string[], undoer: Undoer): Promise<void> => {
  const found = await panes();
  if (remaining.some((name) => found.has(sessionOf(name)))) return;
  const { stdout } = await tryRun('systemctl', ['is-active', tmuxUnit]);
  if (stdout.trim() !== 'active') return;
  await undoer.apply(tmuxUnit, () => run('systemctl', ['stop', tmuxUnit]));
};

/** Makes systemd forget the tmux server once its unit file was removed with the last component. */
export const forgetServer = async (undoer: Undoer): Promise<void> => {
  if (await statIfThere(`${paths.units}/${tmuxUnit}.service`)) return;
  await undoer.apply(tmuxUnit, () => run('systemctl', ['daemon-reload']));
};

/** Ends a component and keeps its window; `resumeWindow` starts it there again. */
export const pauseWindow = async (name: string): Promise<void> => {
  const pane = (await panes()).get(sessionOf(name));
  if (pane) await end(pane, { name });
};
export const resumeWindow = async (name: string): Promise<void> => {
  await perform(tmux('respawn-pane', '-k', '-t', `${target(name)}:0.0`));
};

/** Returns the commands that a learner types to stop and to start a component. Each prints its state at the end. */
export const typedInTmux = (name: string) => {
  const has = quoted(tmux('has-session', '-t', target(name)));
  return {
    stop: `${quoted(killSession(name))}; ${has} 2>/dev/null || echo inactive`,
    start: `${quoted(newSession(name))}; ${has} && echo active`,
  };
};

/**
 * Returns the command that shows a component's window on this terminal. Inside another window of our server it switches
 * that terminal.
 */
export const attachCommand = (name: string, inside: string | undefined): readonly string[] =>
  inside?.startsWith(`${socket},`)
    ? tmux('switch-client', '-t', target(name))
    : tmux('attach-session', '-t', target(name));
