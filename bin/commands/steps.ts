import { Command } from 'commander';
import { exampleLab } from '../../lib/engine/lab.ts';
import { readState } from '../../lib/engine/state.ts';
import { paths } from '../../lib/host/paths.ts';
import { stepsWith } from '../../steps/index.ts';

const list = async ({ json }: { json?: boolean }): Promise<void> => {
  const state = process.getuid?.() === 0 ? await readState(paths.state) : undefined;
  for (const [index, { id, title }] of stepsWith(state?.lab ?? exampleLab).entries()) {
    const known = state?.steps[id];
    if (json) process.stdout.write(`${JSON.stringify({ step: id, title, appliedAt: known?.at ?? null })}\n`);
    else
      process.stdout.write(
        `${String(index + 1).padStart(2)}  ${id.padEnd(26)} ${known ? `applied ${known.at}` : ''}`
          .trimEnd()
          .concat('\n'),
      );
  }
};

export const command = (): Command =>
  new Command('steps')
    .description('Lists the steps in their order and, as root, which of them this machine has behind it.')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  hardway steps')
    .action(list);
