import { parseArgs } from 'node:util';
import { inside } from '../../lib/vm/guest.ts';
import { execInVm, type Vm } from '../../lib/vm/vm.ts';
import { dropVm, freshVm, hardway, sh, up } from './lib.ts';

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
const randomFrom = (seed: number) => {
  let state = seed;
  return (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

/** Seconds that a run takes at most here; early instants come more often, as they make shorter rounds. */
const longest = { up: 16, reset: 3 } as const;

const commands = { up: ['up', '--cni', 'bridge'], reset: ['reset', '--yes'] } as const;

/** Starts a command and ends it with SIGKILL after some seconds, if it is not done by then. */
const killed = (vm: Vm, command: keyof typeof commands, seconds: number) =>
  execInVm(vm, ['timeout', '--signal=KILL', seconds.toFixed(2), 'hardway', ...commands[command]]);

/** Things of others beside the lab: a link and a mount at places of ours, a chain, a set, a namespace, a link, a file. */
const foreign = `
  mkdir -p /srv/kubelet /var/log/pods /usr/local/bin; ln -s /srv/kubelet /var/lib/kubelet
  mount -t tmpfs -o mode=755 logs /var/log/pods; mkdir /var/log/pods/lost+found
  iptables -N MINE; iptables -I FORWARD -j MINE; ipset create mine hash:ip; ip netns add cni-mine
  ip link add mine0 type veth peer name mine1
  echo mine >/usr/local/bin/kubectl; chmod 750 /usr/local/bin/kubectl`;

const hostdiff = `sh ${inside.project}/tests/e2e/hostdiff.sh`;

/** Throws where the machine differs from itself before the first round, by a comparison that shares no code with hardway. */
const mustBeAsBefore = async (vm: Vm, words: string): Promise<void> => {
  const differences = await sh(
    vm,
    `rm -rf /tmp/after; ${hostdiff} /tmp/after; ${hostdiff} /tmp/before /tmp/after || :`,
  );
  if (differences !== '') throw new Error(`${words}: hostdiff.sh says\n${differences}`);
};

/**
 * Rounds of `up` and `reset` that are killed at a random instant; each ends with a whole `up`, whose last step is the
 * smoke test, or a whole `reset`, which compares the machine with the snapshot, and then hostdiff.sh with itself. Things of
 * others are beside the lab all the time. Throws at the first one that fails.
 */
export const soak = async (
  vm: Vm,
  { rounds, seed, report }: { rounds: number; seed: number; report: (line: string) => void },
): Promise<void> => {
  const random = randomFrom(seed);
  report(`${rounds} rounds with seed ${seed}`);
  await sh(vm, `${foreign}\n${hostdiff} /tmp/before`);
  for (let round = 1; round <= rounds; round++) {
    const command = random() < 0.6 ? 'up' : 'reset';
    const seconds = longest[command] * random() ** 2;
    const last = random() < 0.35 ? 'up' : 'reset';
    const words = `round ${round}: ${command} killed after ${seconds.toFixed(2)} s, then ${last}`;
    await killed(vm, command, seconds);
    const { code, stdout, stderr } = await (last === 'up' ? up(vm) : hardway(vm, commands.reset));
    if (code !== 0) throw new Error(`${words}: exit code ${code} (seed ${seed})\n${stdout}\n${stderr}`);
    if (last === 'reset') await mustBeAsBefore(vm, `${words} (seed ${seed})`);
    report(words);
  }
};

if (import.meta.main) {
  const { values } = parseArgs({ options: { rounds: { type: 'string' }, seed: { type: 'string' } } });
  const vm = await freshVm('soak');
  try {
    await soak(vm, {
      rounds: Number(values.rounds ?? 30),
      seed: Number(values.seed ?? Date.now() % 1e6),
      report: (line) => console.log(line),
    });
  } finally {
    await dropVm('soak');
  }
}
