import { programsReady } from '../../lib/binaries/needed.ts';
import { namespacesHaveCa } from '../../lib/cluster/projected.ts';
import { requireCurrent, statusOf, supervisorOf } from '../../lib/daemons/supervisor.ts';
import { check, waitFor } from '../../lib/engine/check.ts';
import { Unhealthy } from '../../lib/engine/errors.ts';
import type { Tell } from '../../lib/engine/events.ts';
import { openGate } from '../../lib/engine/gate.ts';
import { allLeaves } from '../../lib/engine/leaves.ts';
import { type openLedger, ownedPaths, readLedger } from '../../lib/engine/ledger.ts';
import { createRunner, readOnlyContext } from '../../lib/engine/runner.ts';
import { settings } from '../../lib/engine/settings.ts';
import type { State } from '../../lib/engine/state.ts';
import { type LabStep, needsOf } from '../../lib/engine/step.ts';
import { paths } from '../../lib/host/paths.ts';
import { certificates } from '../../steps/certificates.ts';
import { everyStep, stepsWith } from '../../steps/index.ts';
import { asJson, asLines, printJson } from '../up/show.ts';

/** What it takes to give the components of a lab other certificates. */
export interface Turn {
  readonly state: State;
  /** The lab's applied steps from the certificates on. */
  readonly steps: readonly LabStep[];
  readonly json: boolean;
  readonly signal: AbortSignal;
  readonly ledger: ReturnType<typeof openLedger>;
  /** Command that goes on where this one fails. */
  readonly again: string;
}

/** Returns the applied steps of a lab from its certificates on, without those that only prove something. */
export const stepsFromCertificates = ({ lab, steps }: State): readonly LabStep[] => {
  const all = stepsWith(lab);
  const from = all.findIndex(({ id }) => id === certificates.id);
  const to = all.findLastIndex(({ daemon, objects }) => daemon || objects);
  return all.slice(from, to + 1).filter(({ id }) => id in steps);
};

/** Milliseconds in which the kubelet has written what a Pod gets anew: it looks at each Pod every 60 to 90 s. */
const podsDeadlineMs = 180_000;

/** Waits until something is so, and shows what it waits for; throws Unhealthy with the last reason. */
export const waitUntil = async (
  turn: Turn,
  phrase: string,
  probe: (context: ReturnType<typeof readOnlyContext>) => Promise<void>,
): Promise<void> => {
  const step = turn.steps.find(({ runsPods }) => runsPods)?.id ?? certificates.id;
  const failure = await waitFor([check(phrase, probe)], readOnlyContext(turn.state.lab, turn.steps), {
    interval: 100,
    deadline: podsDeadlineMs,
    signal: turn.signal,
    waiting: ({ reason }) => turn.json && printJson({ event: 'waiting', step, check: phrase, reason }),
    failFast: async () => {},
  });
  if (failure)
    throw new Unhealthy(`"${phrase}" is not so after ${podsDeadlineMs / 1000} s: ${failure.reason}`, {
      next: `${turn.again} goes on; hardway status shows what runs`,
    });
};

/**
 * Ends the API server before it, or the store that it asks, starts again with other files. etcd would wait 7 s for its
 * watches to end. An API server that is asked to stop takes its address out of the Service `kubernetes` first, and until
 * the rules are back Pods find nobody there.
 */
const endApiServer = async ({ state: { lab }, steps, signal }: Turn, step: LabStep): Promise<void> => {
  const server = steps.find(({ servesObjects }) => servesObjects)?.daemon;
  if (!server || !step.daemon || !(step.holdsObjects || step.servesObjects)) return;
  const isCurrent = await requireCurrent(lab, step.daemon).then(
    () => true,
    () => false,
  );
  if (isCurrent) return;
  await openGate(false, () => {}, signal).runStage(server.name, (undoer) => supervisorOf(lab).stop([server], undoer));
};

/** Gives every step the files of the stage, in the order of an up: what reads them starts again and is waited for. */
export const takeSteps = async (turn: Turn): Promise<void> => {
  const { state, steps, signal, ledger, json } = turn;
  const { lab } = state;
  const supervisor = supervisorOf(lab);
  const owned = ownedPaths(await readLedger(paths.ledger));
  const start = (tell: Tell) =>
    createRunner({
      lab,
      steps,
      needs: needsOf(stepsWith(lab)),
      places: allLeaves(everyStep.map(({ leaves }) => leaves)).paths,
      source: { kind: 'auto' },
      signal,
      dryRun: false,
      sequential: lab.supervisor === 'tmux',
      deadline: settings.deadline.default,
      tell,
      ledger,
      owned,
      supervisor: { status: (name) => statusOf(lab, name), lastLog: supervisor.lastLog },
      ready: async (step, context) => {
        await programsReady(step, context);
        await endApiServer(turn, step);
        // A kubelet that starts gives each Pod what there is; one that runs looks only every 60 to 90 s.
        if (step.runsPods) await waitUntil(turn, 'every namespace has the CAs that are trusted', namespacesHaveCa);
      },
      state,
    });
  await (json ? asJson : asLines({ dryRun: false }))(steps, start);
};
