import { UserError } from '../lib/engine/errors.ts';
import type { Lab } from '../lib/engine/lab.ts';
import { readState, type State } from '../lib/engine/state.ts';
import type { Language, Text } from '../lib/engine/text.ts';
import { paths } from '../lib/host/paths.ts';

/** The lab of this machine, for a command that needs one. Throws UserError where there is none, or one is not root. */
export const theLab = async (): Promise<State> => {
  if (process.getuid?.() !== 0) throw new UserError(`${paths.root} belongs to root`, 'the same command with sudo');
  const state = await readState(paths.state);
  if (!state) throw new UserError('there is no lab on this machine', 'hardway up, or hardway vm up for one in a VM');
  return state;
};

const warning: Text = {
  en: "PKI guide: one certificate, of system:masters, for every component. It is here to show why that is bad: whoever reads one component's key owns the cluster",
  fr: 'PKI guide : un seul certificat, de system:masters, pour tous les composants. Il est là pour montrer pourquoi c’est une mauvaise idée : qui lit la clé d’un composant possède le cluster',
};

/** What is said of the guide's PKI wherever a lab has it: it is for looking at, not for leaving it on. */
export const guideWarning = ({ pki }: Lab, language: Language): string | undefined =>
  pki === 'guide' ? warning[language] : undefined;

/** A lab for explaining on a machine that has none, or to somebody who is not root. */
export const exampleLab: Lab = {
  node: { name: 'kubernetes', address: '10.240.0.10', interface: 'eth0' },
  podCIDR: '10.200.0.0/16',
  serviceCIDR: '10.32.0.0/24',
  apiServiceAddress: '10.32.0.1',
  dnsAddress: '10.32.0.10',
  domain: 'cluster.local',
  cni: 'bridge',
  pki: 'components',
  supervisor: 'systemd',
  with: [],
  machine: { arch: 'amd64', cgroup: 'v2', mayRaiseOomScore: true, ownConntrack: true, swap: false, ufw: false },
};
