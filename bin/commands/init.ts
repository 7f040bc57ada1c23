import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { UserError } from '../../lib/engine/errors.ts';
import { settingsTemplate } from '../../lib/engine/settings.ts';
import { paths } from '../../lib/host/paths.ts';
import { asTyped } from '../typed.ts';

/** Writes the settings file. Throws UserError where anything is there, also a link that leads nowhere. */
const init = async (): Promise<void> => {
  await writeFile(paths.settings, settingsTemplate(), { flag: 'wx', mode: 0o644 }).catch((error) => {
    if (error.code !== 'EEXIST') throw error;
    throw new UserError(`${paths.settings} is there already`, `mv ${paths.settings} ${paths.settings}.old`);
  });
  process.stdout.write(
    asTyped(`${paths.settings} has every setting as a comment\nnext: change a line of it, then hardway up\n`),
  );
};

export const command = (): Command =>
  new Command('init')
    .description(
      `Writes ${paths.settings}, with every setting and its default as a comment. It is yours: no reset takes it.`,
    )
    .addHelpText('after', '\nExample:\n  sudo hardway init')
    .action(init);
