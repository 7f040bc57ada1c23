import { join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { quoted, type Ran } from '../../lib/host/run.ts';
import { createVm, deleteVm, type ExecOptions, execInVm, listVms, type Vm } from '../../lib/vm/vm.ts';
import { type RunEvent, runEvents } from './events.ts';

const program = join(import.meta.dirname, '../../bin/cli.ts');

const report = (line: string): void => console.log(line);

/** A container VM on which nothing was done yet. */
export const freshVm = async (name: string): Promise<Vm> => {
  await dropVm(name);
  return createVm({ name, kind: 'container', report });
};

/** Deletes the VM where there is one, also after a failed test. */
export const dropVm = async (name: string): Promise<void> => {
  if ((await listVms()).some((vm) => vm.name === name)) await deleteVm(name);
};

/** Runs hardway in the VM without a terminal. */
export const hardway = (vm: Vm, args: readonly string[], options: ExecOptions = {}): Promise<Ran> =>
  execInVm(vm, ['hardway', ...args], options);

/** Expects that the command ended with 0; a failed test shows all that it printed. */
export const succeeded = (ran: Ran): Ran => {
  expect(ran.code, `${ran.stdout}\n${ran.stderr}`).toBe(0);
  return ran;
};

/** The network of Pods that these tests use: the one whose images are in the cache everywhere. */
const upCommand = ['hardway', 'up', '--cni', 'bridge'] as const;

/** `hardway up` without a terminal. */
export const up = (vm: Vm, ...flags: readonly string[]): Promise<Ran> => execInVm(vm, [...upCommand, ...flags]);

/** A shell script in the VM; its output without the last line break. Throws when it fails. */
export const sh = async (vm: Vm, script: string): Promise<string> => {
  const { stdout, stderr, code } = await execInVm(vm, ['sh', '-euc', script]);
  if (code !== 0) throw new Error(`${script}: exit code ${code}\n${stderr}`);
  return stdout.trimEnd();
};

/** Ways to end a run in the middle. */
export interface Run {
  /** Ctrl-C, typed: the terminal sends SIGINT to the whole foreground group. */
  readonly typeCtrlC: () => void;
  /** SIGKILL for the process that holds the lock. */
  readonly kill: () => Promise<void>;
}

export interface Ended {
  readonly code: number;
  readonly events: readonly RunEvent[];
  /** What was said that is no event. */
  readonly text: string;
}

type Watch = (event: RunEvent, run: Run) => Promise<void> | void;

/** A command of hardway with --json on a terminal of the VM's own; `watch` is told each event as it comes. */
export const watched = async (vm: Vm, argv: readonly string[], watch: Watch = () => {}): Promise<Ended> => {
  const command = ['script', '-qefc', quoted([...argv, '--json']), '/dev/null'];
  const child = execa(process.execPath, [program, 'vm', 'exec', vm.name, '--', ...command], {
    reject: false,
    stdin: 'pipe',
    all: true,
  });
  const run: Run = {
    typeCtrlC: () => child.stdin.write('\x03'),
    kill: async () => {
      await sh(vm, 'kill -KILL "$(cut -d" " -f1 /run/hardway.lock)"');
    },
  };
  const events: RunEvent[] = [];
  const words: string[] = [];
  for await (const line of child.iterable({ from: 'all' })) {
    // A terminal echoes ^C in front of what is printed next.
    const from = line.indexOf('{"event"');
    if (from < 0) words.push(line.trimEnd());
    else {
      const [event] = runEvents(line.slice(from));
      if (!event) continue;
      events.push(event);
      await watch(event, run);
    }
  }
  const { exitCode } = await child;
  return { code: exitCode ?? -1, events, text: words.join('\n') };
};

/** `hardway up --json`, as `watched`. */
export const upWatched = (vm: Vm, watch?: Watch): Promise<Ended> => watched(vm, upCommand, watch);

/** Waits until the script ends with 0 in the VM; the test's own time limit ends a wait in vain. */
export const until = async (vm: Vm, script: string): Promise<void> => {
  await sh(vm, `until ${script}; do sleep 0.1; done`);
};

/** Everything on the VM's disk but caches and what always changes: path, mode, size and time of each file and folder. */
export const listing = (vm: Vm): Promise<string> =>
  sh(
    vm,
    `find / -xdev \\( -path /tmp -o -path /run -o -path /var/log -o -path /var/lib/systemd -o -path /var/tmp -o -path /root/.cache \\) -prune -o -type f -printf '%p %m %s %T@\\n' -o -printf '%p %m\\n' | sort`,
  );
