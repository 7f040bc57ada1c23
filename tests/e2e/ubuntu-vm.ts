import { imageReference } from '../../lib/binaries/versions.ts';
import { exampleLab } from '../../lib/engine/lab.ts';
import { needsOf } from '../../lib/engine/step.ts';
import type { Ran } from '../../lib/host/run.ts';
import { fillCache } from '../../lib/vm/fill.ts';
import { createVm, type ExecOptions, execInVm, type Vm } from '../../lib/vm/vm.ts';
import { stepsWith } from '../../steps/index.ts';
import { dropVm } from './lib.ts';

/** The person of the VM: not root, with sudo. */
const user = 'learner';

/** Runs a shell script as that person; its output without the last line break. Throws when it fails. */
export const asPerson = async (vm: Vm, script: string): Promise<string> => {
  const { stdout, stderr, code } = await execInVm(vm, ['bash', '-lec', script], { user });
  if (code !== 0) throw new Error(`${script}: exit code ${code}\n${stdout}\n${stderr}`);
  return stdout.trimEnd();
};

/** Runs `sudo hardway` as that person. */
export const sudoHardway = (vm: Vm, args: readonly string[], options: ExecOptions = {}): Promise<Ran> =>
  execInVm(vm, ['sudo', 'hardway', ...args], { ...options, user });

/**
 * A new machine with a kernel of its own that an Ubuntu could be, with a name server behind the resolver's stub (it
 * answers nothing), and with patience for an emulated processor.
 */
export const ubuntuVm = async (name: string): Promise<Vm> => {
  const report = (line: string): void => console.log(line);
  await fillCache({ needs: needsOf(stepsWith(exampleLab)) }, report);
  await dropVm(name);
  const vm = await createVm({ name, kind: 'qemu', flavour: 'ubuntu-like', suite: 'bookworm', report });
  await asPerson(
    vm,
    `echo 'deadline: 900' | sudo tee /etc/hardway.yaml
     sudo mkdir -p /etc/systemd/resolved.conf.d
     printf '[Resolve]\\nDNS=10.240.0.3\\n' | sudo tee /etc/systemd/resolved.conf.d/test.conf
     sudo systemctl restart systemd-resolved
     sync`,
  );
  return vm;
};

/** A Deployment that serves HTTP on port 8080 with so many Pods, started by that person and ready. */
export const scaleWeb = (vm: Vm, replicas: number): Promise<string> =>
  asPerson(
    vm,
    `kubectl get deployment web || kubectl create deployment web --image=${imageReference('agnhost')} -- /agnhost netexec
     kubectl scale deployment web --replicas=${replicas}
     kubectl rollout status deployment web --timeout=900s`,
  );
