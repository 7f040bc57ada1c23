import type { VmRecord } from './record.ts';
import type { TreeOptions } from './tree.ts';

/** What a kind of VM can do; container.ts and qemu.ts are the two. The order of their use is in vm.ts. */
export interface Machine {
  /** Installs and builds what all VMs of the kind share; returns the cached tree or image. */
  readonly prepare: (options: TreeOptions & { readonly net: boolean }) => Promise<string>;
  /** Makes the VM's own disk; vm.json is there already. */
  readonly create: (record: VmRecord) => Promise<void>;
  /** Starts it and returns the record with its process, without waiting for what is inside. */
  readonly boot: (record: VmRecord) => Promise<VmRecord>;
  /** The command that runs the words after it inside, as root; `shell` when it passes them through a shell there. */
  readonly entry: (
    record: VmRecord,
  ) => Promise<{ readonly argv: readonly string[]; readonly shell?: boolean } | undefined>;
  /** Asks the system inside to power off. */
  readonly powerOff: (record: VmRecord) => Promise<void>;
  /** A power cut: SIGKILL, by pid. */
  readonly kill: (record: VmRecord) => Promise<void>;
  /** Removes what a VM that is off may have left on this machine outside its folder. */
  readonly clean: (record: VmRecord) => Promise<void>;
}
