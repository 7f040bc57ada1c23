import { commandLine, type Daemon } from '../engine/daemon.ts';
import { UserError } from '../engine/errors.ts';
import type { Undoer } from '../engine/gate.ts';
import { installPackages } from '../host/apt.ts';
import { statIfThere } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { paths } from '../host/paths.ts';
import { endProcess } from '../host/proc.ts';
import { CommandFailed, findCommand, quoted, run, tryRun } from '../host/run.ts';
import { type Component, isOutdated, type UnitStatus } from './systemd.ts';

/** A socket of our own: what runs in other tmux servers on this machine is nobody's business here. */
const socket = '/run/hardway-tmux';
/** The tmux server gets a unit and so a cgroup of its own, or it would end with the session of whoever started it. */
export const tmuxUnit = 'hardway-tmux';

const folder = `${paths.config}/tmux`;
const settingsFile = `${folder}/tmux.conf`;
const logFile = (name: string): string => `${paths.logs}/${name}.log`;

/** The tmux session of a component: its name as the guide shortens it, `controller` for kube-controller-manager. */
export const sessionOf = (name: string): string => name.replaceAll(/^kube-|-manager$/g, '');
const scriptFile = (name: string): string => `${folder}/${sessionOf(name)}.sh`;

/** A command to our tmux server, as it is typed. */
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
 * The unit of the tmux server: not enabled, as an empty tmux after a reboot would be of no use. It allows what a program
 * in a terminal does not get by itself, and Pods live on when it ends.
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

/** The script that a component's window runs: it shows the command, then becomes it. */
export const windowScript = (daemon: Daemon): string => `#!/bin/bash
# ${daemon.description}
# What it writes is seen in its window and kept in the log, which only root may read.
exec > >(umask 077; exec tee -ia ${logFile(daemon.name)}) 2>&1
sed 1,5d "$0"
${environmentOf(daemon)
  .map((one) => `export ${quoted([one])}\n`)
  .join('')}exec ${commandLine(daemon)
  .map((word) => quoted([word]))
  .join(' \\\n  ')}
`;

interface Pane {
  readonly session: string;
  readonly dead: boolean;
  readonly pid: number;
  /** Milliseconds of the Unix epoch. */
  readonly since: number;
  /** How it ended, as tmux knows it. */
  readonly end: string;
}

const format = ['session_name', 'window_index', 'pane_index', 'pane_dead', 'pane_pid', 'session_created']
  .map((one) => `#{${one}}`)
  .join(':');

/** The first pane of each session of our server: the component's own. Empty where no server runs. */
const panes = async (): Promise<ReadonlyMap<string, Pane>> => {
  if (!(await statIfThere(socket))) return new Map();
  const [file = '', ...args] = tmux('list-panes', '-a', '-F', `${format}:#{pane_dead_status}`);
  const { stdout } = await tryRun(file, args); // fails where the server has ended
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
  enabled: false,
  words: pane === undefined ? 'has no window in tmux' : pane.dead ? `ended in its window${pane.end}` : 'runs in tmux',
  restarts: 0,
  pid: pane && !pane.dead ? pane.pid : 0,
  since: pane && !pane.dead ? pane.since : 0,
});

/** What our tmux server knows of these components, in their order. */
export const windowStatuses = async (names: readonly string[]): Promise<readonly UnitStatus[]> => {
  const found = await panes();
  return names.map((name) => statusOf(found.get(sessionOf(name))));
};

/** The last lines that a component wrote, oldest first. */
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

/** Throws UserError inside a window of the lab: whoever stops the components there would end with it. */
export const requireOutside = (): void => {
  if (!process.env['TMUX']?.startsWith(`${socket},`)) return;
  throw new UserError(
    'this terminal is a window of the lab itself: it would end in the middle',
    'detach from it with Ctrl-b d, then the same command again',
  );
};

/** Ends the process of a window: the one whose id tmux gave, never one of that name. */
const end = async ({ pid, dead }: Pane, { killAtOnce }: Component): Promise<void> => {
  if (!dead) await endProcess(pid, killAtOnce ? 'SIGKILL' : 'SIGTERM');
};

const perform = ([file = '', ...args]: readonly string[]) => run(file, args);

/** Whether tmux is on this machine. */
export const hasTmux = async (): Promise<boolean> => (await findCommand('tmux')) !== undefined;

/** Installs tmux where it is missing. Throws UserError where that cannot be. */
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
 * Makes a daemon run as described in a tmux session of its own, until the machine is rebooted. A changed command, or a
 * file that it reads and that is newer than the process, restarts it; one that already runs as described is left alone.
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
  // A window that somebody opened beside a component's own keeps the session; a new one could not have its name.
  const [known = '', ...has] = tmux('has-session', '-t', target(name));
  if ((await tryRun(known, has)).code === 0) await host.sh(killSession(name));
  await host.sh(newSession(name), { kind: 'unit', name: sessionOf(name), supervisor: 'tmux' });
};

/** Stops components, in this order, and closes their sessions. */
export const closeWindows = async (components: readonly Component[], undoer: Undoer): Promise<void> => {
  const found = await panes();
  const there = components.filter(({ name }) => found.has(sessionOf(name)));
  if (there.length === 0) return;
  await undoer.apply(there.map(({ name }) => name).join(', '), async () => {
    for (const component of there) {
      const pane = found.get(sessionOf(component.name));
      if (pane) await end(pane, component);
      await perform(killSession(component.name));
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

/** Lets systemd forget the tmux server, whose unit file is gone with the last component. */
export const forgetServer = async (undoer: Undoer): Promise<void> => {
  if (await statIfThere(`${paths.units}/${tmuxUnit}.service`)) return;
  await undoer.apply(tmuxUnit, () => run('systemctl', ['daemon-reload']));
};

/** Ends a component and leaves its window; `resumeWindow` runs it there again. */
export const pauseWindow = async (name: string): Promise<void> => {
  const pane = (await panes()).get(sessionOf(name));
  if (pane) await end(pane, { name });
};
export const resumeWindow = async (name: string): Promise<void> => {
  await perform(tmux('respawn-pane', '-k', '-t', `${target(name)}:0.0`));
};

/** What a learner types to stop a component, and to start it again; each says at its end how it is now. */
export const typedInTmux = (name: string) => {
  const has = quoted(tmux('has-session', '-t', target(name)));
  return {
    stop: `${quoted(killSession(name))}; ${has} 2>/dev/null || echo inactive`,
    start: `${quoted(newSession(name))}; ${has} && echo active`,
  };
};

/** What puts a component's window on this terminal; from another window of ours, that terminal switches to it. */
export const attachCommand = (name: string, inside: string | undefined): readonly string[] =>
  inside?.startsWith(`${socket},`)
    ? tmux('switch-client', '-t', target(name))
    : tmux('attach-session', '-t', target(name));
