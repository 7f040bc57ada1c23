import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { until } from '../engine/check.ts';
import { commandLine, type Daemon, filesReadBy } from '../engine/daemon.ts';
import type { Undoer } from '../engine/gate.ts';
import type { Undo } from '../host/change.ts';
import { newerFile, readText } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { paths } from '../host/paths.ts';
import { runsFile } from '../host/proc.ts';
import { CommandFailed, run, tryRun } from '../host/run.ts';
import { accountSandbox } from './sandbox.ts';

/**
 * Returns the file name of a unit. A component's unit is named after it; a unit of the machine, such as network.target,
 * is named in full.
 */
const unitName = (name: string): string => (name.includes('.') ? name : `${name}.service`);
const unitPath = (name: string): string => `${paths.units}/${unitName(name)}`;

/**
 * Escapes a word for ExecStart=, where systemd reads % as a specifier, $ as a variable and blanks as separators
 * (systemd.service(5)).
 */
const escaped = (word: string): string => {
  const safe = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /[\s"'\\;]/.test(safe) ? `"${safe.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : safe;
};

/**
 * Variables of a proxy. systemd's DefaultEnvironment= gives them to every unit, and the components would ask one another
 * and the Pods through it.
 */
export const proxyVariables: readonly string[] = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);

/** Returns the lines with which systemd runs a daemon under its own account, and hands it its files. */
const accountLines = ({ user, handed = [], writes }: Daemon): readonly string[] =>
  user === undefined
    ? []
    : [
        `User=${user}`,
        ...handed.map((path) => `LoadCredential=${basename(path)}:${path}`),
        ...accountSandbox,
        ...(writes ? [`ReadWritePaths=${writes}`] : []),
      ];

/** Returns the unit file of a daemon, with one flag a line, as a person would write it. */
export const unitFile = (daemon: Daemon): string => `[Unit]
Description=${daemon.description}
Documentation=https://kubernetes.io/docs/home/
${daemon.after.length > 0 ? `After=${daemon.after.map(unitName).join(' ')}\n` : ''}StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=${commandLine(daemon).map(escaped).join(' \\\n  ')}
Restart=always
RestartSec=1
${daemon.proxyFile ? `EnvironmentFile=-${daemon.proxyFile}` : `UnsetEnvironment=${proxyVariables.join(' ')}`}
${[...accountLines(daemon), ...(daemon.service ?? [])].map((line) => `${line}\n`).join('')}
[Install]
WantedBy=multi-user.target
`;

/**
 * Lists the names of the units in /etc/systemd/system that start a program of ours: a lab is known by them where its own
 * folder is lost.
 */
export const ownUnits = async (): Promise<readonly string[]> => {
  const files = (await readdir(paths.units).catch(() => [])).filter((name) => name.endsWith('.service'));
  const texts = await Promise.all(files.map((name) => readText(`${paths.units}/${name}`).catch(() => '')));
  return files
    .filter((_, index) => texts[index]?.includes(`\nExecStart=${paths.bin}/`))
    .map((name) => name.replace(/\.service$/, ''));
};

/** Status of a component under its supervisor. */
export interface UnitStatus {
  /** True if it has a unit; in tmux, a window. */
  readonly exists: boolean;
  readonly active: boolean;
  /** True if it has ended and systemd is about to start it again; false in tmux. */
  readonly restarting: boolean;
  readonly enabled: boolean;
  /** State for a person: "active (running)", "not installed", "ended: exit-code, exit code 1". */
  readonly words: string;
  /** Number of times that systemd has restarted it since it was started by hand or at boot; 0 in tmux. */
  readonly restarts: number;
  /** Pid of the process; 0 when there is none. */
  readonly pid: number;
  /** Start of its activity in milliseconds of the Unix epoch; 0 when it is not active. */
  readonly since: number;
}

const properties = [
  'LoadState',
  'ActiveState',
  'SubState',
  'Result',
  'ExecMainStatus',
  'NRestarts',
  'MainPID',
  'ActiveEnterTimestamp',
];

/** Asks systemd for the statuses of several units in one call; returns them in the order of `names`. */
export const unitStatuses = async (names: readonly string[]): Promise<readonly UnitStatus[]> => {
  const { stdout } = await run('systemctl', [
    'show',
    '--timestamp=unix',
    '-p',
    properties.join(','),
    ...names.map(unitName),
  ]);
  return stdout.split('\n\n').map((block, index) => {
    const value = new Map(block.split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]));
    const exists = value.get('LoadState') !== 'not-found';
    const active = value.get('ActiveState') === 'active';
    const restarting = value.get('SubState')?.startsWith('auto-restart') === true; // auto-restart-queued since systemd 254
    const died = restarting || value.get('ActiveState') === 'failed';
    const loaded = died
      ? `ended: ${value.get('Result')}, exit code ${value.get('ExecMainStatus')}`
      : `${value.get('ActiveState')} (${value.get('SubState')})`;
    return {
      exists,
      active,
      restarting,
      // systemd's own answer may be older than an enable or disable that was interrupted
      enabled: existsSync(`${paths.units}/multi-user.target.wants/${unitName(names[index] ?? '')}`),
      words: exists ? loaded : 'not installed',
      restarts: Number(value.get('NRestarts') ?? 0),
      pid: Number(value.get('MainPID') ?? 0),
      since: active ? Number((value.get('ActiveEnterTimestamp') ?? '').replace('@', '')) * 1000 : 0,
    };
  });
};

export const unitStatus = async (name: string): Promise<UnitStatus> => {
  const [status] = await unitStatuses([name]);
  if (!status) throw new Error(`systemctl show said nothing of ${name}`);
  return status;
};

/** Milliseconds in which systemd stops a unit (DefaultTimeoutStopSec=, systemd-system.conf(5)), with a margin. */
const jobsTimeoutMs = 100_000;

/**
 * Waits until systemd has no job left for these components. A killed reset leaves a stop of etcd that waits for the API
 * server; until then etcd looks healthy. Throws an error that names the jobs when they take too long.
 */
export const settleUnits = (names: readonly string[], signal: AbortSignal): Promise<void> =>
  until(
    'systemd has done what it was asked to before',
    async (limit) => {
      const { stdout } = await run('systemctl', ['list-jobs', '--plain', '--no-legend'], { signal: limit });
      const jobs = stdout.split('\n').map((line) => line.trim().split(/\s+/)); // id, unit, what is to be done, state
      const ours = jobs.filter(([, unit = '']) => names.some((name) => unit === unitName(name)));
      if (ours.length > 0) throw new Error(ours.map(([, unit, kind]) => `${kind} of ${unit}`).join(', '));
    },
    { signal, deadline: jobsTimeoutMs },
  );

/** Returns the commands that a learner types to stop and to start a component. Each prints its state at the end. */
export const typedInSystemd = (name: string) => ({
  stop: `systemctl stop ${name}; systemctl is-active ${name}`,
  start: `systemctl start ${name}; systemctl is-active ${name}`,
});

export const logCommand = (name: string, lines: string, follow: boolean): readonly string[] => [
  'journalctl',
  '-u',
  unitName(name),
  '-o',
  'cat',
  '-n',
  lines,
  follow ? '-f' : '--no-pager',
];

/** Returns the last `lines` log lines of a component's current or last run, oldest first. */
export const lastLog = async (name: string, lines: number): Promise<readonly string[]> => {
  const { stdout } = await tryRun('journalctl', ['-u', unitName(name), '-n', String(lines), '-o', 'cat', '--no-pager']);
  return stdout.split('\n').filter((line) => line !== '');
};

/**
 * Returns why what a daemon does now is not what it will do at its next start: it started before one of its files was
 * written, or runs another program than is there now. Undefined where neither is so.
 */
export const staleness = async (
  daemon: Daemon,
  { pid, since }: Pick<UnitStatus, 'pid' | 'since'>,
): Promise<string | undefined> => {
  const file = await newerFile(filesReadBy(daemon), since);
  if (file) return `it started on ${new Date(since).toISOString()}, before ${file} was written`;
  return runsFile(pid, daemon.binary) ? undefined : `it does not run the file that ${daemon.binary} is now`;
};

/**
 * Tells whether a daemon has to start again. One that started in the future has too: the clock was set back, so the
 * files' times prove nothing.
 */
export const isOutdated = async (daemon: Daemon, status: Pick<UnitStatus, 'pid' | 'since'>): Promise<boolean> =>
  status.since > Date.now() || (await staleness(daemon, status)) !== undefined;

/**
 * Runs a command that starts a unit. Reloads systemd and runs it once more where systemd could not load the unit: it may hold
 * the unit as it was before, as after a reset that was killed, and says itself that a reload mends that.
 */
const startLoaded = async (host: Host, argv: readonly string[], unit: string, undo?: Undo): Promise<void> => {
  try {
    await host.sh(argv, undo);
  } catch (error) {
    const { stdout } = await run('systemctl', ['show', '--value', '-p', 'LoadState', unit]);
    if (!(error instanceof CommandFailed) || stdout.trim() === 'loaded') throw error;
    await host.sh(['systemctl', 'daemon-reload']);
    await host.sh(argv, undo);
  }
};

/**
 * Makes a daemon run as described, now and after every boot. Restarts it for a changed unit, or when a file that it
 * reads is newer than the process; leaves it alone otherwise.
 */
export const ensureUnit = async (host: Host, daemon: Daemon): Promise<void> => {
  const unit = unitName(daemon.name);
  const before = await unitStatus(daemon.name);
  const rewritten = await host.writeFile(unitPath(daemon.name), unitFile(daemon), 0o600);
  if (rewritten && before.exists) await host.sh(['systemctl', 'daemon-reload']);
  // Skips the reload, which takes a third of a second: systemd reads the unit when it starts it.
  const undo = { kind: 'unit', name: daemon.name, supervisor: 'systemd' } as const;
  const start = before.active ? [] : ['--now'];
  if (!before.enabled) await startLoaded(host, ['systemctl', 'enable', '--no-reload', ...start, unit], unit, undo);
  else if (!before.active) await startLoaded(host, ['systemctl', 'start', unit], unit, undo);
  if (before.active && (rewritten || (await isOutdated(daemon, before))))
    await startLoaded(host, ['systemctl', 'restart', unit], unit);
};

/** The fields of a daemon that are needed to stop it. */
export type Component = Pick<Daemon, 'name' | 'killAtOnce'>;
const namesOf = (components: readonly Component[]): readonly string[] => components.map(({ name }) => name);

/** Milliseconds that stopping may take. Longer than the time after which systemd itself kills (90 s). */
export const stopTimeoutMs = 120_000;

/**
 * Stops units. Throws CommandFailed when one still runs; one that systemd no longer knows does not: a killed reset has
 * removed its file. systemd stops etcd only after kube-apiserver, which takes about 1 s. If hardway is killed in between,
 * the next run sees an etcd that still looks healthy but will be stopped. So a component with `killAtOnce` gets
 * SIGKILL.
 */
const stop = async (components: readonly Component[]): Promise<void> => {
  const names = namesOf(components);
  const killed = namesOf(components.filter(({ killAtOnce }) => killAtOnce));
  if (killed.length > 0) {
    await tryRun('systemctl', ['stop', '--no-block', ...names]);
    await tryRun('systemctl', ['kill', '--signal=KILL', ...killed]); // fails where it has ended already
  }
  const argv = ['systemctl', 'stop', ...names];
  const ran = await tryRun('systemctl', argv.slice(1), { timeout: stopTimeoutMs });
  if (ran.code !== 0 && (await unitStatuses(names)).some(({ active }) => active)) throw new CommandFailed(argv, ran);
};

/** Stops the components that are installed. */
export const stopUnits = async (components: readonly Component[], undoer: Undoer): Promise<void> => {
  if (components.length === 0) return;
  const statuses = await unitStatuses(namesOf(components));
  const known = components.filter((_, index) => statuses[index]?.exists);
  if (known.length > 0) await undoer.apply(namesOf(known).join(', '), () => stop(known));
};

/** Disables the units of components, so that they do not start at boot. */
export const disableUnits = async (components: readonly Component[], undoer: Undoer): Promise<void> => {
  if (components.length === 0) return;
  const statuses = await unitStatuses(namesOf(components));
  const enabled = namesOf(components.filter((_, index) => statuses[index]?.enabled));
  if (enabled.length === 0) return;
  await undoer.apply(enabled.join(', '), () => run('systemctl', ['disable', '--quiet', ...enabled]));
};

/** Makes systemd forget units whose files were removed. */
export const reloadUnits = async (components: readonly Component[], undoer: Undoer): Promise<void> => {
  if (components.length === 0) return;
  const names = namesOf(components);
  await undoer.apply(names.join(', '), async () => {
    await run('systemctl', ['daemon-reload']);
    await tryRun('systemctl', ['reset-failed', ...names]); // fails for each that has not failed
  });
};
