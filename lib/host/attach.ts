import { execa } from 'execa';

/** Runs a command on this terminal until it ends and returns its exit code; Ctrl-C is the command's to answer. */
export const attach = async (
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<number> => {
  const ignore = (): void => {};
  process.on('SIGINT', ignore); // the terminal sends it to both of us; only the command decides what it means
  try {
    const result = await execa(file, args, { stdio: 'inherit', env, reject: false });
    return result.exitCode ?? (result.signal ? 130 : 127);
  } finally {
    process.off('SIGINT', ignore);
  }
};
