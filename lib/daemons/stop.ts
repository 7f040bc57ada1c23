import type { Gate } from '../engine/gate.ts';
import { run, tryRun } from '../host/run.ts';
import { unitStatuses } from './systemd.ts';

/**
 * An API server takes a second to stop, and etcd waits for it. Should hardway be killed in that second, the next one would
 * meet an etcd that is healthy and about to stop. It has no state of its own to lose.
 */
const impatient = ['kube-apiserver'];

/** Stops components; systemd takes them in the reverse of the order in which their units start. */
const stop = async (names: readonly string[]): Promise<void> => {
  const hasty = names.filter((name) => impatient.includes(name));
  if (hasty.length > 0) {
    await run('systemctl', ['stop', '--no-block', ...names]);
    await tryRun('systemctl', ['kill', '--signal=KILL', ...hasty]); // fails where it has ended already
  }
  await run('systemctl', ['stop', ...names]);
};

/** Stops components and takes them out of the boot, all in a few commands. */
export const stopComponents = async (names: readonly string[], gate: Gate): Promise<void> => {
  if (names.length === 0) return;
  const statuses = await unitStatuses(names);
  const known = names.filter((_, index) => statuses[index]?.words !== 'not installed');
  const enabled = names.filter((_, index) => statuses[index]?.enabled);
  if (known.length > 0) await gate.act('components stopped', known.join(', '), () => stop(known));
  if (enabled.length > 0)
    await gate.act('taken out of the boot', enabled.join(', '), () =>
      run('systemctl', ['disable', '--quiet', ...enabled]),
    );
};

/** Lets systemd forget units whose files are gone. */
export const forgetComponents = async (names: readonly string[], gate: Gate): Promise<void> => {
  if (gate.dryRun || names.length === 0) return;
  await run('systemctl', ['daemon-reload']);
  await tryRun('systemctl', ['reset-failed', ...names]); // fails for each that has not failed
};
