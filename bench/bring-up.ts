import { dirname } from 'node:path';
import { archivePath, binaryPath } from '../lib/binaries/cache.ts';
import { imageReference, productOf } from '../lib/binaries/versions.ts';
import { Bug } from '../lib/engine/errors.ts';
import type { RunEvent } from '../lib/engine/events.ts';
import { architectures, exampleLab } from '../lib/engine/lab.ts';
import { needsOf } from '../lib/engine/step.ts';
import { inside } from '../lib/vm/guest.ts';
import { createVm, deleteVm, execInVm, listVms, type Vm } from '../lib/vm/vm.ts';
import { stepsWith } from '../steps/index.ts';

/** One bring-up, from the start of its command to its end; all times in seconds. */
export interface BringUp {
  readonly seconds: number;
  /** What each step took by its own account, in their order. */
  readonly steps: ReadonlyMap<string, number>;
}

export interface HardwayBringUp extends BringUp {
  /** What the program used itself, without the commands that it runs. */
  readonly cpuSeconds: number;
  readonly peakMegabytes: number;
  /** The same command once more, on the healthy lab. */
  readonly again: { readonly seconds: number; readonly touched: readonly string[] };
  /** Taking back: the scheduler's step alone, that step again, and everything while ten and a hundred more Pods run. */
  readonly backSeconds: number;
  readonly nextSeconds: number;
  readonly resetSeconds: number;
  readonly hundredSeconds: number;
}

/** Runs `use` in a VM that nothing has happened in, and throws the VM away. */
const inFreshVm = async <T>(name: string, use: (vm: Vm) => Promise<T>): Promise<T> => {
  // One that an interrupted run left behind
  if ((await listVms()).some((vm) => vm.name === name)) await deleteVm(name);
  const vm = await createVm({ name, kind: 'container' });
  try {
    return await use(vm);
  } finally {
    await deleteVm(name);
  }
};

/** Runs a command inside; throws an error with its last words when it fails. */
const timed = async (vm: Vm, argv: readonly string[], env: Readonly<Record<string, string>> = {}) => {
  const begin = performance.now();
  const { code, stdout, stderr } = await execInVm(vm, argv, { env });
  const seconds = (performance.now() - begin) / 1000;
  if (code !== 0) {
    const words = [...stdout.split('\n').slice(-4), ...stderr.split('\n').slice(-12)].join('\n').trim();
    throw new Error(`${argv.join(' ')} ended with ${code} in the VM ${vm.name}:\n${words}`);
  }
  return { seconds, lines: stdout.split('\n').filter((line) => line !== '') };
};

/** What bench/plain.sh wants to be told: where the cache holds the lab's programs and images, inside of a VM. */
const plainNeeds = (): Readonly<Record<string, string>> => {
  const arch = architectures[process.arch];
  if (!arch) throw new Bug(`no lab runs on ${process.arch}`);
  const { programs, plugins } = needsOf(stepsWith(exampleLab));
  const folderOf = (binary: string): string => {
    const { name, product } = productOf(binary);
    return dirname(binaryPath(inside.cache, arch, name, product.version, binary));
  };
  const images = {
    pause: imageReference('pause'),
    coredns: imageReference('coredns'),
    agnhost: imageReference('agnhost'),
  };
  return {
    programs: [...new Set([...programs, ...plugins].map(folderOf))].join(':'),
    archives: dirname(archivePath(inside.cache, arch, images.pause)),
    ...images,
  };
};

/** bench/plain.sh in a VM of its own. */
export const plain = (): Promise<BringUp> =>
  inFreshVm('bench-plain', async (vm) => {
    const { seconds, lines } = await timed(vm, [`${inside.project}/bench/plain.sh`], plainNeeds());
    const steps = new Map<string, number>();
    let before = 0;
    for (const line of lines) {
      const [step = '', text] = line.split(' ');
      const now = Number(text); // since its start
      steps.set(step, now - before);
      before = now;
    }
    return { seconds, steps };
  });

const up = ['hardway', 'up', '--cni', 'bridge', '--json'];
const eventsIn = (lines: readonly string[]): readonly RunEvent[] => lines.map((line) => JSON.parse(line) as RunEvent);

/** Starts so many Pods and resets the lab while they run; a Node takes 110. */
const resetWithPods = async (vm: Vm, count: number): Promise<number> => {
  await timed(vm, up);
  const pods = `kubectl create deployment many --image=${imageReference('pause')} --replicas=${count}
    kubectl rollout status deployment many --timeout=600s`;
  await timed(vm, ['sh', '-ec', pods]);
  return (await timed(vm, ['hardway', 'reset', '--yes'])).seconds;
};

type TakenBack = Pick<HardwayBringUp, 'backSeconds' | 'nextSeconds' | 'resetSeconds' | 'hundredSeconds'>;

/** Takes a healthy lab back in parts, makes it whole again, and resets it twice, with more Pods in it each time. */
const takenBack = async (vm: Vm): Promise<TakenBack> => {
  await timed(vm, ['hardway', 'reset', '--to', 'kube-scheduler', '--yes']);
  const back = await timed(vm, ['hardway', 'back', '--yes']);
  const next = await timed(vm, [...up, '--to', 'kube-scheduler']);
  const resetSeconds = await resetWithPods(vm, 10);
  const hundredSeconds = await resetWithPods(vm, 100);
  return { backSeconds: back.seconds, nextSeconds: next.seconds, resetSeconds, hundredSeconds };
};

/** `hardway up` in a VM of its own, once more on the lab that it made, and away with it. */
export const hardway = (): Promise<HardwayBringUp> =>
  inFreshVm('bench-hardway', async (vm) => {
    const usageFile = '/tmp/usage.json';
    // The launcher drops NODE_OPTIONS, so Node is called as it does; its own time is that of a --version more.
    const program = `${inside.cache}/node/node_modules/node/bin/node --disable-warning=ExperimentalWarning`;
    const measured = `hardway --version >/dev/null; exec ${program} --import=${inside.project}/bench/usage.ts ${inside.project}/bin/cli.ts "$@"`;
    const { seconds, lines } = await timed(vm, ['sh', '-c', measured, ...up], {
      NODE_COMPILE_CACHE: `${inside.cache}/compiled`,
      HARDWAY_BENCH_USAGE: usageFile,
    });
    const steps = new Map(
      eventsIn(lines).flatMap((event) =>
        event.event === 'step' && event.state === 'healthy' ? [[event.step, event.seconds ?? 0] as const] : [],
      ),
    );
    const usage = await timed(vm, ['cat', usageFile]);
    const { cpuSeconds, peakMegabytes } = JSON.parse(usage.lines.join('')) as HardwayBringUp;
    const second = await timed(vm, up);
    const touched = eventsIn(second.lines).flatMap((event) => (event.event === 'change' ? [event.what] : []));
    const again = { seconds: second.seconds, touched };
    return { seconds, steps, cpuSeconds, peakMegabytes, again, ...(await takenBack(vm)) };
  });
