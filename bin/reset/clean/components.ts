import { type Supervisor, supervisorOf } from '../../../lib/daemons/supervisor.ts';
import { until } from '../../../lib/engine/check.ts';
import { readOnlyContext } from '../../../lib/engine/runner.ts';
import { components, stepsWith } from '../../../steps/index.ts';
import type { ResetPlan } from '../plan.ts';
import type { Reset } from './scope.ts';

const supervisorIn = ({ supervisor }: ResetPlan): Supervisor => supervisorOf({ supervisor });

/** Stops the components of undone steps. */
export const stopComponents = ({ plan, undoer }: Reset): Promise<void> => supervisorIn(plan).stop(plan.stopped, undoer);

/** Keeps the components of undone steps from starting at boot. */
export const disableComponents = ({ plan, undoer }: Reset): Promise<void> =>
  supervisorIn(plan).disable(
    plan.stopped,
    components.filter((id) => plan.stays.has(id)),
    undoer,
  );

/** Makes the supervisor forget the components of undone steps. */
export const forgetComponents = ({ plan, undoer }: Reset): Promise<void> =>
  supervisorIn(plan).reloadUnits(plan.stopped, undoer);

/** Stops the component that runs Pods, if it is active. */
export const pauseComponent = async ({ plan, undoer }: Reset): Promise<void> => {
  const { name = '' } = plan.paused ?? {};
  const [status] = await supervisorIn(plan).statuses([name]);
  if (status?.exists) await undoer.apply(name, () => supervisorIn(plan).pause(name)); // also one that crashes and starts again
};

/** Starts the component that runs Pods again and waits until it answers, because it belongs to the steps that stay. */
export const resumeComponent = async ({ plan, undoer, signal }: Reset): Promise<void> => {
  const { name = '' } = plan.paused ?? {};
  const supervisor = supervisorIn(plan);
  const [status] = await supervisor.statuses([name]);
  if (!status?.exists) return;
  await undoer.apply(name, async () => {
    await supervisor.resume(name);
    if (!plan.lab) return;
    const steps = stepsWith(plan.lab);
    const context = readOnlyContext(plan.lab, steps);
    const step = steps.find(({ daemon }) => daemon?.name === name);
    for (const { phrase, probe } of step?.checks ?? [])
      await until(phrase, (limit) => probe(context, limit), { signal, deadline: 60_000 });
  });
};
