import { UserError } from '../../lib/engine/errors.ts';
import { type LedgerEntry, readLedgerContent } from '../../lib/engine/ledger.ts';
import { readState, type State } from '../../lib/engine/state.ts';
import { statIfThere } from '../../lib/host/files.ts';
import { paths } from '../../lib/host/paths.ts';
import { type HostSnapshot, readSnapshot } from '../../lib/host/snapshot.ts';
import { stepIds } from '../../steps/index.ts';
import { findLostLab } from './lost-lab.ts';

/** Ledger, state and snapshot of this machine's lab, as far as they can be read. */
export interface LabOnDisk {
  readonly entries: readonly LedgerEntry[];
  readonly state: State | undefined;
  readonly before: HostSnapshot | undefined;
  /** True if its ledger is lost, and what is known of it was found on the machine. */
  readonly lost?: boolean;
  /** A sentence for each part of the lab's files that cannot be read, and for what is not known without them. */
  readonly unreadable?: readonly string[];
}

/**
 * Reads what hardway left on this machine; undefined where there is nothing. A torn state file counts as missing. A lab
 * whose folder is lost, or lies on a disk that is not mounted, is known by its units.
 */
export const readLabOnDisk = async (): Promise<LabOnDisk | undefined> => {
  if (process.getuid?.() !== 0) throw new UserError(`${paths.root} belongs to root`, 'the same command with sudo');
  const [ledger, state, before] = await Promise.all([
    readLedgerContent(paths.ledger),
    readState(paths.state).catch(() => undefined),
    readSnapshot(paths.snapshot),
  ]);
  const { entries, unknown } =
    ledger.entries.length > 0 ? { entries: ledger.entries, unknown: [] } : await findLostLab();
  if (entries.length === 0 && !(await statIfThere(paths.root))) return undefined;
  const blind = before === undefined && (await statIfThere(paths.snapshot)) !== undefined;
  const unreadable = blind ? [`${paths.snapshot} cannot be read, so the machine is compared with nothing`] : [];
  const lost = entries !== ledger.entries && entries.length > 0;
  return { entries, state, before, lost, unreadable: [...ledger.unreadable, ...unreadable, ...unknown] };
};

/** Returns the ids of the steps that have changed this machine, in their order. */
export const installedSteps = ({ entries, state }: LabOnDisk): readonly string[] =>
  stepIds.filter((id) => state?.steps[id] !== undefined || entries.some(({ step }) => step === id));
