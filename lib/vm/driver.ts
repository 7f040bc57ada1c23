import type { VmRecord } from './record.ts';
import type { TreeOptions } from './tree.ts';

/** Driver of a kind of VM: container.ts and qemu.ts implement it, vm.ts calls it. */
export interface VmDriver {
  /** Installs and builds what all VMs of the kind share; returns the cached tree or image. */
  readonly prepare: (options: TreeOptions & { readonly net: boolean }) => Promise<string>;
  /** Makes the VM's own disk. vm.json exists already. */
  readonly create: (record: VmRecord, signal?: AbortSignal) => Promise<void>;
  /** Starts the VM and returns the record with its process; does not wait until it has booted. */
  readonly boot: (record: VmRecord, signal?: AbortSignal) => Promise<VmRecord>;
  /**
   * Returns the command line that runs these words inside as root, with `tty` on a terminal of the VM's; undefined when
   * the VM is off.
   */
  readonly command: (
    record: VmRecord,
    words: readonly string[],
    tty: boolean,
  ) => Promise<readonly [string, ...string[]] | undefined>;
  /** Tells the system inside to power off. */
  readonly powerOff: (record: VmRecord) => Promise<void>;
  /** Cuts the power: SIGKILL, by pid. */
  readonly kill: (record: VmRecord) => Promise<void>;
  /** Removes what a stopped VM may have left on this machine outside its folder. */
  readonly clean: (record: VmRecord) => Promise<void>;
}
