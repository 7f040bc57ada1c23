import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { usualKubernetes } from '../lib/binaries/versions.ts';
import { type Lab, labOf } from '../lib/engine/lab.ts';
import type { Given } from '../lib/engine/settings.ts';
import type { HostFacts } from '../lib/host/facts.ts';

/** A machine with nothing against it. */
export const goodSurvey: HostFacts = {
  root: true,
  platform: 'linux',
  arch: 'x64',
  init: 'systemd',
  cpus: 2,
  memoryBytes: 4e9,
  places: [
    {
      ...{ path: '/var/lib', point: '/', type: 'ext4', readOnly: false, noexec: false },
      ...{ freeBytes: 20e9, freeInodes: 0.9 },
    },
  ],
  missingControllers: [],
  forbiddenModules: [],
  hostName: 'Lab-1',
  hostNameResolves: true,
  node: { interface: 'eth0', address: '10.240.0.10' },
  networks: [{ interface: 'eth0', cidr: '10.240.0.10/24' }],
  listeners: [{ address: '127.0.0.1', port: 22, pid: 7, process: 'sshd', ours: false }],
  links: [
    { name: 'lo', addresses: [] },
    { name: 'eth0', addresses: ['10.240.0.10/24'] },
  ],
  chains: [{ program: 'iptables-nft', table: 'filter', name: 'ufw-user-input', policy: '-', rules: [] }],
  nftTables: [{ family: 'inet', name: 'firewalld' }],
  ipsets: ['blocklist'],
  contents: [],
  unitFiles: [],
  missing: [],
  people: ['root', 'alice'],
  apt: true,
  cgroup: 'v2',
  canLowerOomScoreAdj: true,
  canSetConntrackLimits: true,
  resolvers: [{ path: '/etc/resolv.conf', servers: ['10.240.0.3'] }],
  swap: false,
  ufw: false,
  firewall: { own: 'iptables-nft', iptables: {}, nft: [] },
};

export const defaultSettings = {
  podCIDR: '10.200.0.0/16',
  serviceCIDR: '10.32.0.0/24',
  domain: 'cluster.local',
  deadline: 240,
} as const satisfies Given;

const { deadline: _, ...networks } = defaultSettings;

/** A lab on a machine that needs nothing special. */
export const plainLab: Lab = labOf(goodSurvey, {
  kubernetes: usualKubernetes(),
  ...networks,
  cni: 'bridge',
  pki: 'components',
  podSecurity: 'baseline',
  supervisor: 'systemd',
  with: [],
});

/** A lab on a machine where everything that we adapt to has to be adapted to. */
export const oddLab: Lab = labOf(
  {
    ...goodSurvey,
    cgroup: 'v1',
    canLowerOomScoreAdj: false,
    canSetConntrackLimits: false,
    resolvers: [],
    swap: true,
    ufw: true,
  },
  {
    ...networks,
    kubernetes: 'v1.35.8',
    domain: 'odd.example',
    cni: 'bridge',
    pki: 'guide',
    podSecurity: 'privileged',
    supervisor: 'tmux',
    with: ['ingress'],
  },
);

/** Creates a folder of the test's own. A hook that returns `remove` has it removed after its tests. */
export const scratchFolder = async (): Promise<{ path: string; remove: () => Promise<void> }> => {
  const path = await mkdtemp(join(tmpdir(), 'hardway-test-'));
  return { path, remove: () => rm(path, { recursive: true }) };
};

/** Skips a test that gives files to somebody else, mounts or enters a namespace. */
export const needsRoot = ({ skip }: TestContext): void =>
  skip(process.getuid?.() !== 0, 'only root can do it; type: sudo bin/test');
