import type { Daemon } from '../engine/daemon.ts';
import type { Undoer } from '../engine/gate.ts';
import type { Lab, SupervisorName } from '../engine/lab.ts';
import type { Context } from '../engine/step.ts';
import type { Text } from '../engine/text.ts';
import type { Host } from '../host/host.ts';
import { run } from '../host/run.ts';
import {
  type Component,
  disableUnits,
  ensureUnit,
  lastLog,
  logCommand,
  reloadUnits,
  settleUnits,
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

/** Programs that can supervise the components. */
export interface Supervisor {
  /** Makes a daemon run as described; one that does already is left alone. */
  readonly ensure: (host: Host, daemon: Daemon) => Promise<void>;
  /** Waits until what was asked of it before, by a command that was killed, has been done. */
  readonly settle: (names: readonly string[], signal: AbortSignal) => Promise<void>;
  /** How the components are, in their order. */
  readonly statuses: (names: readonly string[]) => Promise<readonly UnitStatus[]>;
  /** The last lines that a component wrote, oldest first. */
  readonly lastLog: (name: string, lines: number) => Promise<readonly string[]>;
  /** What shows them on a terminal. */
  readonly logCommand: (name: string, lines: string, follow: boolean) => readonly string[];
  /** Throws UserError where this terminal would end with the components. */
  readonly requireOutside: () => void;
  /** Stops components for good, in this order. */
  readonly stop: (components: readonly Component[], undoer: Undoer) => Promise<void>;
  /** Sees to it that stopped components do not start again at boot; `remaining` names those that stay. */
  readonly disable: (components: readonly Component[], remaining: readonly string[], undoer: Undoer) => Promise<void>;
  /** Forgets components whose files are gone. */
  readonly reloadUnits: (components: readonly Component[], undoer: Undoer) => Promise<void>;
  readonly pause: (name: string) => Promise<unknown>;
  readonly resume: (name: string) => Promise<unknown>;
  /** What a learner types to stop a component and to start it; the last line of the output is active, or it is not. */
  readonly typed: (name: string) => { readonly stop: string; readonly start: string };
  /** What a person has to know of it. */
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
    settle: async () => {}, // tmux does at once what it is asked to
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

/** The supervisor of a lab. */
export const supervisorOf = ({ supervisor }: Partial<Pick<Lab, 'supervisor'>>): Supervisor =>
  supervisors[supervisor ?? 'systemd'];

/** The cgroups in which a component and what it started may run: that of its own unit, and that of the tmux server. */
export const cgroupsOf = (name: string): readonly string[] =>
  [name, tmuxUnit].map((unit) => `system.slice/${unit}.service`);

/** Makes a daemon run as described under the lab's supervisor; what every component's step uses. */
export const ensureRunning = ({ lab, host }: Pick<Context, 'lab' | 'host'>, daemon: Daemon): Promise<void> =>
  supervisorOf(lab).ensure(host, daemon);
