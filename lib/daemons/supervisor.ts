import type { Daemon } from '../engine/daemon.ts';
import type { Undoer } from '../engine/gate.ts';
import type { Lab, SupervisorName } from '../engine/lab.ts';
import type { LedgerEntry } from '../engine/ledger.ts';
import type { Context } from '../engine/step.ts';
import type { Text } from '../engine/text.ts';
import type { Host } from '../host/host.ts';
import { run } from '../host/run.ts';
import {
  ensureUnit,
  forgetComponents,
  lastLog,
  logCommand,
  settleUnits,
  stopComponents,
  stopTimeoutMs,
  typedInSystemd,
  type UnitStatus,
  unitStatuses,
} from './systemd.ts';
import {
  closeWindows,
  ensureWindow,
  forgetServer,
  isTmuxCommand,
  lastWindowLog,
  pauseWindow,
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
  /** Stops components for good, in this order; `all` are those that there can be. */
  readonly stop: (names: readonly string[], all: readonly string[], gate: Undoer) => Promise<void>;
  /** Forgets components whose files are gone. */
  readonly reloadUnits: (names: readonly string[], gate: Undoer) => Promise<void>;
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
    stop: (names, _, gate) => stopComponents(names, gate),
    reloadUnits: forgetComponents,
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
    stop: closeWindows,
    reloadUnits: (_, gate) => forgetServer(gate),
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

/** Under whom these changes started components, as the state may be lost or torn; undefined where none was started. */
export const detectSupervisor = (entries: readonly LedgerEntry[]): SupervisorName | undefined => {
  const commands = entries.flatMap(({ undo }) => (undo.kind === 'run' && isServiceCommand(undo) ? [undo.argv] : []));
  if (commands.some(isTmuxCommand)) return 'tmux';
  return commands.some((argv) => argv[2] !== tmuxUnit) ? 'systemd' : undefined;
};

/** The supervisor itself. */
export const supervisorIn = (entries: readonly LedgerEntry[]): Supervisor =>
  supervisors[detectSupervisor(entries) ?? 'systemd'];

/** Commands to a supervisor are given once for all components, not one by one as the ledger has them. */
export const isServiceCommand = (undo: LedgerEntry['undo']): boolean =>
  undo.kind === 'run' &&
  (isTmuxCommand(undo.argv) || (undo.argv[0] === 'systemctl' && ['stop', 'disable'].includes(undo.argv[1] ?? '')));

/** Makes a daemon run as described under the lab's supervisor; what every component's step uses. */
export const ensureRunning = ({ lab, host }: Pick<Context, 'lab' | 'host'>, daemon: Daemon): Promise<void> =>
  supervisorOf(lab).ensure(host, daemon);
