import { nodeIsReady } from '../lib/cluster/objects.ts';
import { check } from '../lib/engine/check.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Step } from '../lib/engine/step.ts';
import { mtuOf } from '../lib/host/net.ts';
import { system } from '../lib/host/paths.ts';
import { mtuCheck, networkTeaching, nodeTurnsReady, observationsWith, plugins, usualMtu } from './network.ts';
import { lines, observe } from './observe.ts';

const file = `${system.cniConfig}/10-bridge.conflist`;

/**
 * Returns the CNI configuration, a chain of the reference plugins: a bridge, addresses from a file, masquerading, host
 * ports, and a rule in the firewall. `mtu` (bytes) is that of the Node's interface: larger packets of a Pod would be lost
 * behind it.
 */
export const conflist = ({ podCIDR }: Pick<Lab, 'podCIDR'>, mtu: number) => ({
  cniVersion: '1.0.0',
  name: 'bridge',
  plugins: [
    {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ...(mtu !== usualMtu && { mtu }),
      ipam: { type: 'host-local', ranges: [[{ subnet: podCIDR }]], routes: [{ dst: '0.0.0.0/0' }] },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'firewall' },
  ],
});

const conflistNow = async (lab: Lab) => conflist(lab, await mtuOf(lab.node.interface));

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
    netns: [/^cni-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/],
    bridges: ['cni0'],
    chains: [/^CNI-/],
    paths: ['/var/lib/cni'],
  },
  traces: [{ path: file, isOurs: (content) => content.includes('"bridge": "cni0"') }],
  title: 'network of Pods (bridge)',
  needs: { plugins },
  inputs: conflistNow,

  async apply({ lab, host }) {
    await host.makeDir('/var/lib/cni', 0o700);
    await host.writeFile(file, `${JSON.stringify(await conflistNow(lab), undefined, 2)}\n`, 0o600);
  },

  byHand: { proofs: ({ node }) => [nodeTurnsReady(node.name)] },

  checks: [check('the Node is Ready', nodeIsReady), mtuCheck(file)],

  teaching: networkTeaching,
  observations: (lab) => observationsWith(route, lab),
};
