import { mkdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Unhealthy, UserError } from '../engine/errors.ts';
import { mountsBelow } from '../host/mounts.ts';
import { paths } from '../host/paths.ts';
import { isAlive, waitForEnd } from '../host/proc.ts';
import { attach, type Ran, tryRun } from '../host/run.ts';
import { container } from './container.ts';
import type { VmDriver } from './driver.ts';
import { type InsideOptions, insideWords } from './guest.ts';
import { qemu } from './qemu.ts';
import {
  checkName,
  type Flavour,
  folderOf,
  type Kind,
  readRecord,
  unknownVm,
  type VmRecord,
  vmNames,
  writeRecord,
} from './record.ts';
import { chooseSuite } from './suites.ts';

/** A VM on this machine. */
export interface Vm {
  readonly name: string;
  readonly kind: Kind;
  readonly folder: string;
}

export interface CreateOptions {
  readonly name: string;
  readonly kind: Kind;
  /** A suite of suites.ts; by default the one that chooseSuite chooses. */
  readonly suite?: string | undefined;
  /** Whether the VM can reach the network of this machine; false by default. */
  readonly net?: boolean | undefined;
  /** Used by tests only. */
  readonly flavour?: Flavour | undefined;
  readonly report?: ((line: string) => void) | undefined;
  /** Ends the making; what was made of the VM until then is deleted. */
  readonly signal?: AbortSignal | undefined;
}

/** Returns the port on 127.0.0.1 that leads to the API server of a VM; undefined where an older hardway booted it. */
export const apiPortOf = async (vm: Vm): Promise<number | undefined> => (await recordOf(vm)).apiPort;

/** A VM in `hardway vm list`. `broken`: its creation was interrupted, it can only be deleted. */
export interface VmState extends Vm {
  readonly state: 'running' | 'stopped' | 'broken';
  readonly suite: string;
}

const machines: Readonly<Record<Kind, VmDriver>> = { container, qemu };

const vmOf = ({ name, kind }: Pick<VmRecord, 'name' | 'kind'>): Vm => ({ name, kind, folder: folderOf(name) });

const isRunning = (record: VmRecord): boolean => record.process !== undefined && isAlive(record.process);

const recordOf = async ({ name }: Vm): Promise<VmRecord> => {
  const record = await readRecord(checkName(name));
  if (record) return record;
  const names = await vmNames();
  if (!names.includes(name)) throw unknownVm(name, names);
  throw new UserError(`The VM '${name}' is broken: its vm.json cannot be read`, `hardway vm delete ${name}`);
};

/** Returns the last lines of a VM's console, which may say why it does not answer. */
const consoleTail = async (vm: Vm): Promise<string[]> => {
  const text = await readFile(`${vm.folder}/console.log`, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-10);
};

/** Waits until the systemd inside has finished booting. A failed unit is no error: the VM may be used all the same. */
const waitUntilUp = async (record: VmRecord, signal?: AbortSignal): Promise<void> => {
  const vm = vmOf(record);
  const limit = record.kind === 'container' ? 120_000 : 600_000;
  const deadline = Date.now() + limit;
  let reason = 'it has not started';
  while (Date.now() < deadline) {
    if (!isRunning(record)) {
      reason = 'it stopped while booting';
      break;
    }
    const ran = await tryInVm(record, ['systemctl', 'is-system-running']);
    const state = ran?.stdout.trim() ?? '';
    if (state === 'running' || state === 'degraded') return;
    if (ran) reason = `systemd says '${state || ran.stderr.trim().split('\n').at(-1)}'`;
    await sleep(record.kind === 'container' ? 50 : 500, undefined, { signal });
  }
  throw new Unhealthy(`The VM '${vm.name}' did not come up: ${reason} (its console: ${vm.folder}/console.log)`, {
    log: await consoleTail(vm),
    next: `hardway vm delete ${vm.name}`,
  });
};

const tryInVm = async (record: VmRecord, argv: readonly string[]): Promise<Ran | undefined> => {
  const command = await machines[record.kind].command(record, insideWords(argv), false);
  return command && tryRun(command[0], command.slice(1), { timeout: 20_000 });
};

const runningCommand = async (vm: Vm, argv: readonly string[], { tty = false, ...options }: EnterOptions) => {
  const record = await recordOf(vm);
  const command = await machines[record.kind].command(record, insideWords(argv, options), tty);
  if (command) return command;
  throw new UserError(`The VM '${vm.name}' is not running`, `hardway vm start ${vm.name}`);
};

/** Boots a stopped VM and returns when its systemd answers. Does nothing to one that runs. */
export const bootVm = async (vm: Vm, signal?: AbortSignal): Promise<void> => {
  needsRootOnLinux();
  const record = await recordOf(vm);
  const machine = machines[record.kind];
  await waitUntilUp(isRunning(record) ? record : await machine.boot(record, signal), signal);
};

/**
 * Creates a VM, or boots it when it exists and is stopped; returns when the systemd inside answers. Throws a UserError
 * for an invalid name or suite, or when a VM of that name has another kind or suite.
 */
export const createVm = async (options: CreateOptions): Promise<Vm> => {
  const { name, kind, net = false, flavour = 'plain', report = () => {}, signal } = options;
  checkName(name);
  needsRootOnLinux();
  const found = await readRecord(name);
  if (found?.ready) {
    const differs = found.kind !== kind ? found.kind : undefined;
    if (differs) {
      throw new UserError(`There is a VM '${name}' already, and it is a ${differs} one`, `hardway vm delete ${name}`);
    }
    const vm = vmOf(found);
    if (!isRunning(found)) report(`Booting the VM ${name}`);
    await bootVm(vm, signal);
    return vm;
  }
  const machine = machines[kind];
  if ((await vmNames()).includes(name)) {
    throw new UserError(`The VM '${name}' is broken: its creation was cut short`, `hardway vm delete ${name}`);
  }
  const suite = await chooseSuite(options.suite);
  const base = await machine.prepare({ suite, kind, flavour, net, report, signal });
  await mkdir(paths.vms, { recursive: true, mode: 0o700 });
  await mkdir(folderOf(name), { mode: 0o700 }).catch((error) => {
    if (error.code !== 'EEXIST') throw error;
    throw new UserError(`The VM '${name}' is being created by someone else just now`, 'hardway vm list');
  });
  const record = { version: 1, name, kind, suite: suite.name, flavour, net, base, ready: false, cgroups: [] } as const;
  report(`Creating the VM ${name} (${kind}, ${suite.name})`);
  try {
    await writeRecord({ ...record, cgroups: [] });
    await machine.create({ ...record, cgroups: [] }, signal);
    // `create` has written what it chose (a port, a key) to vm.json.
    const made = await recordOf({ name, kind, folder: folderOf(name) });
    await writeRecord({ ...made, ready: true });
    report(`Booting the VM ${name}`);
    await bootVm(vmOf(made), signal);
    return vmOf(made);
  } catch (error) {
    if (signal?.aborted) await deleteVm(name);
    throw error;
  }
};

/** Finds a VM by name; undefined when there is none or it is broken. */
export const findVm = async (name: string): Promise<Vm | undefined> => {
  const record = await readRecord(checkName(name));
  return record && vmOf(record);
};

/** Finds a VM by name. Throws a UserError that names the nearest one, or how to delete a broken one. */
export const getVm = async (name: string): Promise<Vm> =>
  vmOf(await recordOf({ name, kind: 'container', folder: folderOf(name) }));

export const listVms = async (): Promise<VmState[]> => {
  const names = await vmNames();
  return Promise.all(
    names.map(async (name) => {
      const record = await readRecord(name);
      if (!record?.ready) {
        return { ...vmOf({ name, kind: record?.kind ?? 'container' }), suite: record?.suite ?? '', state: 'broken' };
      }
      return { ...vmOf(record), suite: record.suite, state: isRunning(record) ? 'running' : 'stopped' };
    }),
  );
};

/** Shuts a VM down; kills it when it has not ended after 30 seconds (an emulated one: 120). */
export const stopVm = async (vm: Vm): Promise<void> => {
  const record = await recordOf(vm);
  if (!isRunning(record) || !record.process) return;
  await machines[record.kind].powerOff(record);
  const ended = await waitForEnd([record.process], record.kind === 'container' ? 30_000 : 120_000);
  await (ended ? machines[record.kind].clean(record) : machines[record.kind].kill(record));
};

/** Cuts the power of a VM: its processes get SIGKILL, without warning. */
export const powerCut = async (vm: Vm): Promise<void> => {
  const record = await recordOf(vm);
  await machines[record.kind].kill(record);
};

/**
 * Deletes a VM in any state: running, stopped, crashed, half created. Leaves no process, cgroup, mount, namespace or
 * file of it. Throws a UserError when there is none of that name.
 */
export const deleteVm = async (name: string): Promise<void> => {
  checkName(name);
  needsRootOnLinux();
  const names = await vmNames();
  if (!names.includes(name)) throw unknownVm(name, names);
  const folder = folderOf(name);
  const record = await readRecord(name);
  if (record) await machines[record.kind].kill(record);
  for (const point of mountsBelow(folder)) await tryRun('umount', [point]);
  const [left] = mountsBelow(folder);
  // Deleting through a mount would delete what is mounted there.
  if (left)
    throw new Unhealthy(`${left} is still mounted and busy, so nothing was deleted`, { next: `umount ${left}` });
  await rm(folder, { recursive: true, force: true });
};

const needsRootOnLinux = (): void => {
  if (process.platform !== 'linux') throw new UserError('VMs are made on Linux only', 'run it on a Linux machine');
  if (process.getuid?.() !== 0)
    throw new UserError('Making a VM needs root: mounts, namespaces, devices', 'sudo hardway vm up');
};

export interface EnterOptions extends InsideOptions {
  /** Whether it runs on a terminal of the VM's own, which `less`, `tmux` and Ctrl-C need. */
  readonly tty?: boolean;
}

export interface ExecOptions extends EnterOptions {
  readonly input?: string;
  /** Milliseconds; an hour by default. */
  readonly timeout?: number;
}

/**
 * Runs a command inside and returns its output and exit code, whatever that is. Throws a UserError when the VM is off.
 */
export const execInVm = async (vm: Vm, argv: readonly string[], options: ExecOptions = {}): Promise<Ran> => {
  const { input, timeout = 3_600_000, ...inner } = options;
  const [file, ...args] = await runningCommand(vm, argv, inner);
  return tryRun(file, args, { timeout, ...(input !== undefined && { input }) });
};

/**
 * Runs a command inside on this program's terminal, or its pipes when it has none; returns the exit code. On a terminal
 * the command has one of its own in the VM: Ctrl-C reaches only the command.
 */
export const attachInVm = async (vm: Vm, argv: readonly string[], options: EnterOptions = {}): Promise<number> => {
  const tty = options.tty ?? Boolean(process.stdin.isTTY && process.stdout.isTTY);
  const [file, ...args] = await runningCommand(vm, argv, { ...options, tty });
  return attach(file, args);
};
