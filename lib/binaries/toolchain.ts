import { glob } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { UserError } from '../engine/errors.ts';
import { firstPath, isProgram, tryRun } from '../host/run.ts';
import { askingUser, faultIn } from '../host/trust.ts';

/** Oldest minor version of Go 1 that can fetch the newer toolchain which a module asks for. */
const oldest = 21;

/**
 * Returns the environment in which `go` is asked about itself: it fetches no other toolchain, and writes no statistics
 * into the home (https://go.dev/doc/telemetry), as that is no place for them; its settings are read from there.
 */
export const askingGo = (): Readonly<Record<string, string>> => {
  const settings = process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config');
  return {
    GOTOOLCHAIN: 'local',
    GOFLAGS: '',
    HOME: homedir(),
    GOENV: process.env['GOENV'] || join(settings, 'go/env'),
    XDG_CONFIG_HOME: '/dev/null',
  };
};

/** Returns the home of the user behind sudo. sudo has replaced that user's PATH. */
const sudoHome = async (): Promise<string | undefined> => {
  const user = process.env['SUDO_USER'];
  if (!user) return undefined;
  const { stdout } = await tryRun('getent', ['passwd', user]);
  return stdout.split(':')[5];
};

const candidates = async (): Promise<string[]> => {
  const onPath = `${process.env['PATH'] ?? ''}${delimiter}${firstPath}`.split(delimiter).filter(Boolean);
  const found = [...onPath, '/usr/local/go/bin'].map((folder) => join(folder, 'go'));
  for (const home of new Set([homedir(), await sudoHome()])) {
    if (!home) continue;
    found.push(join(home, 'go/bin/go'));
    for await (const sdk of glob(join(home, 'sdk/go*/bin/go'))) found.push(sdk);
  }
  return [...new Set(found)];
};

/**
 * Finds the `go` to build with: on PATH, also on that of the person behind sudo, in /usr/local/go, in ~/go or ~/sdk of
 * this user or of that person. Undefined when there is none. Throws a UserError when all that are there are too old, or
 * are such that others than root and that person may change them.
 */
export const findGo = async (): Promise<string | undefined> => {
  const refused: string[] = [];
  const asking = askingUser();
  for (const go of await candidates()) {
    if (!(await isProgram(go))) continue;
    const fault = await faultIn(go, asking === undefined ? undefined : [0, asking]);
    if (fault) {
      refused.push(`${go} is not used: others may change ${fault.path}, which ${fault.why}`);
      continue;
    }
    const { stdout } = await tryRun(go, ['version'], { env: askingGo() });
    const version = /go1\.(\d+)/.exec(stdout);
    if (version && Number(version[1]) >= oldest) return go;
    if (version) refused.push(`${go} is ${version[0]}, too old to build Kubernetes`);
  }
  if (refused.length > 0) {
    throw new UserError(
      refused.join('; '),
      `install Go 1.${oldest} or newer from https://go.dev/dl and run the same command again`,
    );
  }
  return undefined;
};
