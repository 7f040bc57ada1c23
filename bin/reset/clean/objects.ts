import { removeObjects } from '../../../lib/cluster/etcd.ts';
import { readOnlyContext } from '../../../lib/engine/runner.ts';
import { removeDemo } from '../../../steps/demo.ts';
import { stepsWith } from '../../../steps/index.ts';
import type { Reset } from './scope.ts';

/** Deletes the API objects of undone steps and the demo, whose observations are of a cluster with all its steps. */
export const deleteApiObjects = async ({ plan, undoer, signal }: Reset): Promise<void> => {
  if (!plan.lab) return;
  const steps = stepsWith(plan.lab);
  const context = { ...readOnlyContext(plan.lab, steps), signal };
  for (const id of plan.undone) {
    const step = steps.find((one) => one.id === id);
    if (step?.deleteObjects) await undoer.apply(`those of ${id}`, async () => step.deleteObjects?.(context));
  }
  await undoer.apply('those of the observations', () => removeDemo(context));
};

/** Deletes the API server's objects from an etcd that stays when its API server goes. */
export const emptyStore = ({ undoer }: Reset): Promise<void> => removeObjects(undoer);
