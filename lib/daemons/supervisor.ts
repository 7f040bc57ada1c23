import { setImmediate } from 'node:timers/promises';
import type { Daemon } from '../engine/daemon.ts';
import { Bug } from '../engine/errors.ts';
import type { Undoer } from '../engine/gate.ts';
import type { Lab, SupervisorName } from '../engine/lab.ts';
import type { Context } from '../engine/step.ts';
import type { Text } from '../engine/text.ts';
import { statIfThere } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { sockets } from '../host/net.ts';
import { paths } from '../host/paths.ts';
import { executableOf, runsFile } from '../host/proc.ts';
import { run } from '../host/run.ts';
import {
  type Component,
  disableUnits,
  ensureUnit,
  lastLog,
  logCommand,
  ownUnits,
  reloadUnits,
  settleUnits,
  staleness,
  stopTimeoutMs,
  stopUnits,
  typedInSystemd,
  type UnitStatus,
  unitStatuses,
} from './systemd.ts';
import {
  closeWindows,
  endServer,
  ensureWindow,
  forgetServer,
  lastWindowLog,
  pauseWindow,
  requireOutside,
  resumeWindow,
  tmuxUnit,
  typedInTmux,
  windowLogCommand,
  windowStatuses,
} from './tmux.ts';
import { ensureFolderOf, ensureUser } from './users.ts';

/** Keeps the components running: systemd or tmux. */
export interface Supervisor {
  /** Makes a daemon run as described; leaves alone one that already does. */
  readonly ensure: (host: Host, daemon: Daemon) => Promise<void>;
  /** Waits until the supervisor has finished what a killed command asked of it. */
  readonly settle: (names: readonly string[], signal: AbortSignal) => Promise<void>;
  /** Returns the statuses of components, in the order of `names`. */
  readonly statuses: (names: readonly string[]) => Promise<readonly UnitStatus[]>;
  /** Returns the last log lines of a component, oldest first. */
  readonly lastLog: (name: string, lines: number) => Promise<readonly string[]>;
  /** Returns the command that shows the log of a component on a terminal. */
  readonly logCommand: (name: string, lines: string, follow: boolean) => readonly string[];
  /** Throws UserError when this terminal would end with the components. */
  readonly requireOutside: () => void;
  /** Stops components for good, in this order. */
  readonly stop: (components: readonly Component[], undoer: Undoer) => Promise<void>;
  /** Keeps stopped components from starting at boot; `remaining` are the names of those that stay. */
  readonly disable: (components: readonly Component[], remaining: readonly string[], undoer: Undoer) => Promise<void>;
  /** Makes systemd forget units whose files were removed. */
  readonly reloadUnits: (components: readonly Component[], undoer: Undoer) => Promise<void>;
  readonly pause: (name: string) => Promise<unknown>;
  readonly resume: (name: string) => Promise<unknown>;
  /**
   * Returns the commands that a learner types to stop and to start a component. The last line of their output is
   * `active` or it is not.
   */
  readonly typed: (name: string) => { readonly stop: string; readonly start: string };
  /** Note about this supervisor for a person. */
  readonly note?: Text;
}

const supervisors: Readonly<Record<SupervisorName, Supervisor>> = {
  systemd: {
    ensure: ensureUnit,
    settle: settleUnits,
    statuses: unitStatuses,
    lastLog,
    logCommand,
    requireOutside: () => {},
    stop: stopUnits,
    disable: (components, _, undoer) => disableUnits(components, undoer),
    reloadUnits,
    pause: (name) => run('systemctl', ['stop', name], { timeout: stopTimeoutMs }),
    resume: (name) => run('systemctl', ['start', name]),
    typed: typedInSystemd,
  },
  tmux: {
    ensure: ensureWindow,
    settle: async () => {}, // tmux has no jobs: it acts at once
    statuses: windowStatuses,
    lastLog: lastWindowLog,
    logCommand: windowLogCommand,
    requireOutside,
    stop: closeWindows,
    disable: (_, remaining, undoer) => endServer(remaining, undoer),
    reloadUnits: (_, undoer) => forgetServer(undoer),
    pause: pauseWindow,
    resume: resumeWindow,
    typed: typedInTmux,
    note: {
      en: 'tmux starts nothing again, not after a crash and not after a reboot: hardway up does; hardway attach COMPONENT shows its window',
      fr: 'tmux ne relance rien, ni après une panne ni après un redémarrage : hardway up le fait ; hardway attach COMPOSANT montre sa fenêtre',
    },
  },
};

/** Lists the units of a lab of ours, whether its own folder is there or not: of its components, and of tmux. */
export const unitsHere = async (): Promise<readonly string[]> => [
  ...(await ownUnits()),
  ...((await statIfThere(`${paths.units}/${tmuxUnit}.service`)) ? [tmuxUnit] : []),
];

/** Returns the supervisor that a unit belongs to. */
export const supervisorOfUnit = (name: string): SupervisorName => (name === tmuxUnit ? 'tmux' : 'systemd');

/** Returns the supervisor of a lab. */
export const supervisorOf = ({ supervisor }: Partial<Pick<Lab, 'supervisor'>>): Supervisor =>
  supervisors[supervisor ?? 'systemd'];

/**
 * Returns the cgroups in which a component and its children may run: that of its own unit, and that of the tmux server.
 */
export const cgroupsOf = (name: string): readonly string[] =>
  [name, tmuxUnit].map((unit) => `system.slice/${unit}.service`);

/** Questions that were asked in this turn of the event loop and not sent yet, by supervisor. */
const gathered = new Map<Supervisor, { readonly names: string[]; readonly answer: Promise<readonly UnitStatus[]> }>();

/** Returns the status of one component. Those that are asked for at the same time become one command. */
export const statusOf = async (lab: Pick<Lab, 'supervisor'>, name: string): Promise<UnitStatus> => {
  const supervisor = supervisorOf(lab);
  const names = gathered.get(supervisor)?.names ?? [];
  const at = names.push(name) - 1;
  const { answer } = gathered.get(supervisor) ?? {
    answer: setImmediate().then(() => {
      gathered.delete(supervisor);
      return supervisor.statuses(names);
    }),
  };
  gathered.set(supervisor, { names, answer });
  const status = (await answer)[at];
  if (!status) throw new Bug(`the supervisor said nothing of ${name}`);
  return status;
};

/** Throws when a daemon that runs does something else than it will at its next start, as `staleness` says. */
export const requireCurrent = async (lab: Pick<Lab, 'supervisor'>, daemon: Daemon): Promise<void> => {
  const status = await statusOf(lab, daemon.name);
  if (!status.active) return; // the checks of its work say so
  const why = await staleness(daemon, status);
  if (why) throw new Error(`${why}; hardway up starts it again`);
};

/**
 * Throws when a port of this machine's own address is held by another program than this daemon: what answers there says
 * nothing of it.
 */
export const requireOwnPort = async (
  port: number,
  { name, binary }: Pick<Daemon, 'name' | 'binary'>,
): Promise<void> => {
  const own = ['127.0.0.1', '0.0.0.0', '*', '[::]', '[::ffff:127.0.0.1]'];
  const holders = (await sockets('tcp')).filter((one) => one.port === port && own.includes(one.address));
  const other = holders.find(({ pid }) => !runsFile(pid, binary));
  if (other) {
    const program = executableOf(other.pid) || other.process || 'an unknown program';
    throw new Error(`port ${port} is held by ${program} (pid ${other.pid}), not by ${name}`);
  }
  if (holders.length === 0) throw new Error(`ss shows no program on port ${port}`);
};

/**
 * Makes a daemon run as described under the lab's supervisor, with its account and the folder that it writes to. Every
 * component's step calls it.
 */
export const ensureRunning = async ({ lab, host }: Pick<Context, 'lab' | 'host'>, daemon: Daemon): Promise<void> => {
  const { user, writes } = daemon;
  if (user !== undefined) await ensureUser(host, user);
  if (user !== undefined && writes !== undefined) await ensureFolderOf(host, writes, user);
  await supervisorOf(lab).ensure(host, daemon);
};
