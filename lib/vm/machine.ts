import type { VmRecord } from './record.ts';
import type { TreeOptions } from './tree.ts';

/** What a kind of VM can do; container.ts and qemu.ts are the two. The order of their use is in vm.ts. */
export interface VmDriver {
  /** Installs and builds what all VMs of the kind share; returns the cached tree or image. */
  readonly prepare: (options: TreeOptions & { readonly net: boolean }) => Promise<string>;
  /** Makes the VM's own disk; vm.json is there already. */
  readonly create: (record: VmRecord) => Promise<void>;
  /** Starts it and returns the record with its process, without waiting for what is inside. */
  readonly boot: (record: VmRecord) => Promise<VmRecord>;
  /** The command that runs these words inside as root, on a terminal of the VM's if asked; undefined when it is off. */
  readonly command: (
    record: VmRecord,
    words: readonly string[],
    tty: boolean,
  ) => Promise<readonly [string, ...string[]] | undefined>;
  /** Asks the system inside to power off. */
  readonly powerOff: (record: VmRecord) => Promise<void>;
  /** A power cut: SIGKILL, by pid. */
  readonly kill: (record: VmRecord) => Promise<void>;
  /** Removes what a VM that is off may have left on this machine outside its folder. */
  readonly clean: (record: VmRecord) => Promise<void>;
}
