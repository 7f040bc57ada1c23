import { expect, test, vi } from 'vitest';
import { imageReference, productOf } from '../../lib/binaries/versions.ts';
import type { Lab } from '../../lib/engine/lab.ts';
import { fingerprint } from '../../lib/engine/runner.ts';
import type { Context, LabStep } from '../../lib/engine/step.ts';
import { needsOf } from '../../lib/engine/step.ts';
import type { Host } from '../../lib/host/host.ts';
import { stepsWith } from '../../steps/index.ts';
import { plainLab } from '../fixtures.ts';

// Neither this machine nor its systemd is asked: what a step makes of its lab is looked at.
vi.mock('../../lib/host/facts.ts', async (original) => ({
  ...(await original<object>()),
  missingCommands: async () => [],
}));
vi.mock('../../lib/daemons/supervisor.ts', async (original) => ({
  ...(await original<object>()),
  ensureRunning: async () => {},
}));

const ingress: Lab = { ...plainLab, with: ['ingress'] };
const { machine } = ingress;

/** Labs that differ from the first in one thing each. */
const others: readonly (readonly [string, Lab])[] = [
  ['the name of the Node', { ...ingress, node: { ...ingress.node, name: 'other' } }],
  ['the address of the Node', { ...ingress, node: { ...ingress.node, address: '10.240.0.11' } }],
  ['the network of Pods', { ...ingress, podCIDR: '10.201.0.0/16' }],
  ['the network of Services', { ...ingress, serviceCIDR: '10.33.0.0/24' }],
  ['the address of the API server', { ...ingress, apiServiceAddress: '10.33.0.1' }],
  ['the address of DNS', { ...ingress, dnsAddress: '10.33.0.10' }],
  ['the domain', { ...ingress, domain: 'other.local' }],
  ['the PKI', { ...ingress, pki: 'guide' }],
  ['the mirror', { ...ingress, registryMirror: 'https://mirror.example' }],
  ['the cgroups', { ...ingress, machine: { ...machine, cgroup: 'v1' } }],
  ['the OOM score', { ...ingress, machine: { ...machine, canLowerOomScoreAdj: false } }],
  ['the conntrack limits', { ...ingress, machine: { ...machine, canSetConntrackLimits: false } }],
  ['the name servers', { ...ingress, machine: { ...machine, resolvConf: '/run/resolv.conf' } }],
  ['swap', { ...ingress, machine: { ...machine, swap: true } }],
  ['ufw', { ...ingress, machine: { ...machine, ufw: true } }],
];

/** All that a dry run of the step would write, the commands that it would run, and its objects. */
const madeBy = async (step: LabStep, lab: Lab, steps: readonly LabStep[]): Promise<string> => {
  const told: unknown[] = [];
  const tell = async (...what: readonly unknown[]): Promise<true> => {
    told.push(what);
    return true;
  };
  const host: Host = {
    dryRun: true,
    expect: async (path) => void (await tell(path)),
    makeDir: tell,
    // The key that Secrets are encrypted with is made once and stays, at random.
    writeFile: async (path, content) => tell(path, path.endsWith('/encryption.yaml') || content),
    symlink: tell,
    linkFile: tell,
    sysctl: tell,
    sh: async (argv) => void (await tell(argv)),
  };
  const memo: Context['memo'] = (_, make) => make();
  const { signal } = new AbortController();
  const context: Context = {
    ...{ lab, host, memo, signal, needs: needsOf(steps), places: [] },
    ...{ source: { kind: 'auto' }, progress: () => {} },
  };
  await step.apply(context);
  return JSON.stringify([told, await step.objects?.(context)]);
};

const steps = stepsWith(ingress);
const made = await Promise.all(steps.map((step) => madeBy(step, ingress, steps)));
const prints = await Promise.all(steps.map(fingerprint));

test.each(others)(
  'a step that would do something else after a change of %s has another fingerprint',
  async (_, lab) => {
    const later = stepsWith(lab);
    const changed: string[] = [];
    const unseen: string[] = [];
    for (const [at, before] of steps.entries()) {
      const after = later[at] as LabStep;
      const differs = made[at] !== (await madeBy(after, lab, later));
      const seen = prints[at] !== (await fingerprint(after));
      if (differs || seen) changed.push(before.id);
      if (differs && !seen) unseen.push(before.id);
    }
    expect(unseen).toEqual([]);
    expect(changed).not.toEqual([]);
  },
);

test('a mere swapon concerns the kubelet only', async () => {
  const swapped = stepsWith({ ...ingress, machine: { ...machine, swap: true } });
  const after = await Promise.all(swapped.map(fingerprint));
  expect(steps.filter((_, at) => prints[at] !== after[at]).map(({ id }) => id)).toEqual(['kubelet']);
});

test.each([
  ['binaries', () => productOf('etcd').product],
  ['coredns', () => imageReference('coredns')],
  ['smoke', () => imageReference('agnhost')],
] as const)('an upgrade changes the fingerprint of %s: its versions are among its inputs', async (id, part) => {
  const step = steps.find((one) => one.id === id);
  expect(JSON.stringify(await step?.inputs?.())).toContain(JSON.stringify(part()).slice(1, -1));
});
