import { nodeIsReady } from '../lib/cluster/objects.ts';
import { check } from '../lib/engine/check.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Step } from '../lib/engine/step.ts';
import { system } from '../lib/host/paths.ts';
import { nodeTurnsReady, observationsWith, plugins } from './network.ts';
import { lines, observe } from './observe.ts';

/**
 * Returns the CNI configuration, a chain of the reference plugins: a bridge, addresses from a file, masquerading, host
 * ports, and a rule in the firewall.
 */
export const conflist = ({ podCIDR }: Lab) => ({
  cniVersion: '1.0.0',
  name: 'bridge',
  plugins: [
    {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: { type: 'host-local', ranges: [[{ subnet: podCIDR }]], routes: [{ dst: '0.0.0.0/0' }] },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'firewall' },
  ],
});

const route = observe(
  {
    en: 'one route leads to all of them: they hang on a bridge of this machine',
    fr: 'une seule route mène à eux tous : ils sont accrochés à un pont de cette machine',
  },
  'ip route | grep cni0',
  lines(1, / dev cni0 /),
);

export const bridge: Step = {
  id: 'network',
  carriesPods: true,
  leaves: {
    mounts: ['/run/netns/cni-'],
    netns: [/^cni-/],
    bridges: ['cni0'],
    chains: [/^CNI-/],
    paths: ['/var/lib/cni'],
  },
  title: 'network of Pods (bridge)',
  needs: { plugins },
  inputs: conflist,

  async apply({ lab, host }) {
    await host.makeDir('/var/lib/cni', 0o700);
    await host.writeFile(
      `${system.cniConfig}/10-bridge.conflist`,
      `${JSON.stringify(conflist(lab), undefined, 2)}\n`,
      0o600,
    );
  },

  byHand: { proofs: ({ node }) => [nodeTurnsReady(node.name)] },

  checks: [check('the Node is Ready', nodeIsReady)],

  observations: (lab) => observationsWith(route, lab),
};
