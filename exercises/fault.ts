import type { Context } from '../lib/engine/step.ts';
import { readText } from '../lib/host/files.ts';
import { paths } from '../lib/host/paths.ts';
import type { Exercise } from './exercise.ts';

/**
 * Replaces a file of the lab by an edited one, with its mode and owner. The copy that brings it back is in the folder of
 * the exercise. Throws where the edit changes nothing.
 */
const spoilFile = async ({ host }: Context, path: string, edit: (content: string) => string): Promise<void> => {
  const content = await readText(path);
  const spoilt = edit(content);
  if (spoilt === content) throw new Error(`${path} has not the line that this exercise changes`);
  const name = path.replaceAll('/', '_');
  const [kept, other] = [`${paths.practice}/${name}.kept`, `${paths.practice}/${name}.other`];
  await host.sh(['cp', '--preserve=all', path, kept]);
  await host.writeFile(other, spoilt, 0o600);
  await host.sh(['cp', '--no-preserve=all', other, path], {
    kind: 'run',
    argv: ['cp', '--preserve=all', kept, path],
  });
};

/** A part of a file that is wrong, and what it has to be. */
interface WrongPart {
  /** Component that reads the file. */
  readonly component: string;
  /** The file; by default the component's unit, with its drop-ins. */
  readonly file?: string;
  readonly right: string;
  readonly wrong: string;
}

/**
 * Returns what follows for an exercise from a part of a file that is wrong: how the fault is made, which files its repair may
 * change, what is started again, and one way to repair it.
 */
export const wrongPart = ({
  component,
  file,
  right,
  wrong,
}: WrongPart): Pick<Exercise, 'prepare' | 'free' | 'restarts' | 'solution'> => {
  const unit = `${paths.units}/${component}.service`;
  const spoilt = file ?? unit;
  const reload = file === undefined ? [['systemctl', 'daemon-reload']] : [];
  const pattern = wrong.replaceAll(/[.*[\]^$\\]/g, '\\$&'); // none of these means itself to sed
  return {
    async prepare(context) {
      await spoilFile(context, spoilt, (text) => text.replace(right, wrong));
      for (const argv of [...reload, ['systemctl', 'restart', `${component}.service`]]) await context.host.sh(argv);
    },
    free: file === undefined ? [unit, `${unit}.d`] : [file],
    restarts: [component],
    solution: [
      `sed -i 's#${pattern}#${right}#' ${spoilt}`,
      ...reload.map((argv) => argv.join(' ')),
      `systemctl restart ${component}`,
    ],
  };
};
