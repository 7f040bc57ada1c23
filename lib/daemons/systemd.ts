import { existsSync } from 'node:fs';
import { until } from '../engine/check.ts';
import { commandLine, type Daemon, filesReadBy } from '../engine/daemon.ts';
import type { Undoer } from '../engine/gate.ts';
import { statIfThere } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { paths } from '../host/paths.ts';
import { runsFile } from '../host/proc.ts';
import { run, tryRun } from '../host/run.ts';

/** A component's unit has its name; a unit of the machine's own, such as network.target, is named in full. */
const unitName = (name: string): string => (name.includes('.') ? name : `${name}.service`);
const unitPath = (name: string): string => `${paths.units}/${unitName(name)}`;

/** systemd reads % as a specifier, $ as a variable and blanks as separators in ExecStart= (systemd.service(5)). */
const escaped = (word: string): string => {
  const safe = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /[\s"'\\;]/.test(safe) ? `"${safe.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : safe;
};

/** The unit file of a daemon, as text. One flag a line, as a person would write it. */
export const unitFile = (daemon: Daemon): string => `[Unit]
Description=${daemon.description}
Documentation=https://kubernetes.io/docs/home/
${daemon.after.length > 0 ? `After=${daemon.after.map(unitName).join(' ')}\n` : ''}StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=${commandLine(daemon).map(escaped).join(' \\\n  ')}
Restart=always
RestartSec=1
${(daemon.service ?? []).map((line) => `${line}\n`).join('')}
[Install]
WantedBy=multi-user.target
`;

/** What systemd says of a component's unit. */
export interface UnitStatus {
  /** Whether it has a unit; in tmux, a window. */
  readonly exists: boolean;
  readonly active: boolean;
  readonly enabled: boolean;
  /** For a person: "active (running)", "not installed", "exited with code 1". */
  readonly words: string;
  /** How often systemd has started it again since it was started by hand or at boot. */
  readonly restarts: number;
  /** The process itself; 0 when there is none. */
  readonly pid: number;
  /** Since when it is active, in milliseconds of the Unix epoch; 0 when it is not. */
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

/** Asks systemd for the state of several units in one call, in their order. */
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
    const died = value.get('SubState') === 'auto-restart' || value.get('ActiveState') === 'failed';
    const loaded = died
      ? `ended: ${value.get('Result')}, exit code ${value.get('ExecMainStatus')}`
      : `${value.get('ActiveState')} (${value.get('SubState')})`;
    return {
      exists,
      active,
      // systemd's own word for it may be older than an enable or disable that was cut short
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

/** Milliseconds that systemd gives a unit to stop (DefaultTimeoutStopSec=, systemd-system.conf(5)), and some more. */
const jobsTimeoutMs = 100_000;

/**
 * Waits until systemd has no job left for these components. A reset that was killed leaves a stop of etcd that waits for
 * the API server: until then etcd looks healthy. Throws an error that names the jobs when they take too long.
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

/** What a learner types to stop a component, and to start it again; each says at its end how it is now. */
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

/** The last `lines` lines that a component wrote in its current or last run, oldest first. */
export const lastLog = async (name: string, lines: number): Promise<readonly string[]> => {
  const { stdout } = await tryRun('journalctl', ['-u', unitName(name), '-n', String(lines), '-o', 'cat', '--no-pager']);
  return stdout.split('\n').filter((line) => line !== '');
};

/**
 * Whether one of these files was written after that moment (milliseconds; systemd's clock shows whole seconds). A moment
 * that is still to come says that the clock went back since: then nobody can tell, and each may have been.
 */
export const anyNewer = async (files: readonly string[], moment: number): Promise<boolean> => {
  if (moment > Date.now()) return true;
  const stats = await Promise.all(files.map((file) => statIfThere(file)));
  return stats.some((found) => found !== undefined && found.mtimeMs > moment + 999);
};

/** Whether a process runs another program than the one that is there now, or has not read the newest of its files. */
export const isOutdated = async (daemon: Daemon, { pid, since }: Pick<UnitStatus, 'pid' | 'since'>): Promise<boolean> =>
  !runsFile(pid, daemon.binary) || (await anyNewer(filesReadBy(daemon), since));

/**
 * Makes a daemon run as described, now and after every boot. A changed unit, another binary, or a file that it reads and
 * that is newer than the process, restarts it; one that already runs as described is left alone.
 */
export const ensureUnit = async (host: Host, daemon: Daemon): Promise<void> => {
  const unit = unitName(daemon.name);
  const before = await unitStatus(daemon.name);
  const rewritten = await host.writeFile(unitPath(daemon.name), unitFile(daemon));
  if (rewritten && before.exists) await host.sh(['systemctl', 'daemon-reload']);
  // Without a reload, which costs a third of a second: systemd reads the unit when it starts it.
  const undo = { kind: 'unit', name: daemon.name, supervisor: 'systemd' } as const;
  if (!before.enabled) await host.sh(['systemctl', 'enable', '--no-reload', unit], undo);
  if (!before.active) await host.sh(['systemctl', 'start', unit], undo);
  else if (rewritten || (await isOutdated(daemon, before))) await host.sh(['systemctl', 'restart', unit]);
};

/** What has to be known of a component to stop it. */
export type Component = Pick<Daemon, 'name' | 'killAtOnce'>;
const namesOf = (components: readonly Component[]): readonly string[] => components.map(({ name }) => name);

/** Milliseconds that stopping may take: longer than systemd itself waits before it kills (90 s). */
export const stopTimeoutMs = 120_000;

/**
 * Stops units. systemd takes them in the reverse of the order in which they start, so etcd would wait for the second that
 * kube-apiserver needs: if hardway were killed in that second, the next run would meet an etcd that is healthy and about
 * to stop.
 */
const stop = async (components: readonly Component[]): Promise<void> => {
  const names = namesOf(components);
  const killed = namesOf(components.filter(({ killAtOnce }) => killAtOnce));
  if (killed.length > 0) {
    await run('systemctl', ['stop', '--no-block', ...names]);
    await tryRun('systemctl', ['kill', '--signal=KILL', ...killed]); // fails where it has ended already
  }
  await run('systemctl', ['stop', ...names], { timeout: stopTimeoutMs });
};

/** Stops those of the components that are installed. */
export const stopUnits = async (components: readonly Component[], undoer: Undoer): Promise<void> => {
  if (components.length === 0) return;
  const statuses = await unitStatuses(namesOf(components));
  const known = components.filter((_, index) => statuses[index]?.exists);
  if (known.length > 0) await undoer.apply(namesOf(known).join(', '), () => stop(known));
};

/** Takes components out of the boot. */
export const disableUnits = async (components: readonly Component[], undoer: Undoer): Promise<void> => {
  if (components.length === 0) return;
  const statuses = await unitStatuses(namesOf(components));
  const enabled = namesOf(components.filter((_, index) => statuses[index]?.enabled));
  if (enabled.length === 0) return;
  await undoer.apply(enabled.join(', '), () => run('systemctl', ['disable', '--quiet', ...enabled]));
};

/** Lets systemd forget units whose files are gone. */
export const reloadUnits = async (components: readonly Component[], undoer: Undoer): Promise<void> => {
  if (components.length === 0) return;
  const names = namesOf(components);
  await undoer.apply(names.join(', '), async () => {
    await run('systemctl', ['daemon-reload']);
    await tryRun('systemctl', ['reset-failed', ...names]); // fails for each that has not failed
  });
};
