import { Command } from 'commander';
import { needsOf } from '../../lib/engine/step.ts';
import { languageOf } from '../../lib/engine/text.ts';
import { everyStep } from '../../steps/index.ts';
import { parsePauses } from '../teach/session.ts';
import { kubernetesFor } from '../up/kubernetes.ts';
import { withUpOptions } from '../up/options.ts';
import { parseOptions } from '../up/plan.ts';
import type { Options } from '../up/up.ts';

/**
 * Reads what `hardway up` inside is given, with its own options: what it would refuse is refused before a VM is made.
 * Throws UserError, or CommanderError after its message was shown.
 */
export const parseUpFlags = (flags: readonly string[]) => {
  const command = withUpOptions(new Command('up')).exitOverride().allowExcessArguments(false);
  const options = command.parse([...flags], { from: 'user' }).opts<Options>();
  languageOf(options.lang);
  parsePauses(options.pause);
  const { source, kubernetes, cni, registryMirror, extra } = parseOptions(options);
  const steps = everyStep.filter(({ id, extra: onlyAsked }) => !onlyAsked || id === extra);
  return {
    json: options.json ?? false,
    filling: {
      source: source.kind,
      kubernetes: kubernetesFor(kubernetes, undefined),
      cni,
      registryMirror,
      needs: needsOf(steps),
    },
  };
};
