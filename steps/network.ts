import { ensureImages } from '../lib/cluster/images.ts';
import { type Check, check } from '../lib/engine/check.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Context, Observation, Teaching } from '../lib/engine/step.ts';
import { readText } from '../lib/host/files.ts';
import { mtuOf } from '../lib/host/net.ts';
import { kubectl } from './by-hand.ts';
import { chainOfWeb, fromPod, webPods } from './demo.ts';
import { all, fails, lines, notYet, observe, printsNothing, says, saysNot } from './observe.ts';
import { tell } from './tasks.ts';

/** Names of the reference CNI plugins that the networks use. */
export const plugins = ['bridge', 'host-local', 'loopback', 'portmap', 'firewall'];

/** Bytes of the largest packet of Ethernet, and of an interface for which nothing else is asked. */
export const usualMtu = 1500;

/** Returns the check that new Pods get the MTU which the Node's interface has now, by the configuration of the CNI. */
export const mtuCheck = (configFile: string): Check<Context> =>
  check('packets of Pods fit the interface of the Node', async ({ lab: { node } }) => {
    const { plugins: chain } = JSON.parse(await readText(configFile)) as { plugins: { mtu?: number }[] };
    const ofPods = chain[0]?.mtu ?? usualMtu;
    const now = await mtuOf(node.interface);
    if (now !== ofPods)
      throw new Error(
        `${node.interface} has an MTU of ${now}, was ${ofPods}, which Pods still get; hardway up adapts them`,
      );
  });

/** Returns the command that succeeds once the Node is Ready. */
export const nodeTurnsReady = (node: string): string =>
  `${kubectl} wait node ${node} --for=condition=Ready --timeout=5s`;

/** What the screens show of either network. */
export const networkTeaching = (): Teaching => ({
  before: [fails('kubectl get nodes', says('NotReady'))],
  tasks: [
    tell(
      'pod-address',
      { en: 'Type the address of one of the Pods of web.', fr: 'Tapez l’adresse de l’un des Pods de web.' },
      `${webPods} -o jsonpath='{.items[*].status.podIP}'`,
    ),
  ],
});

/** Connects from a Pod to the Service web by its name. The final dot makes it one query, not one for each search domain. */
export const byName = (domain: string): string => fromPod(`web.default.svc.${domain}.:3000`);

/** Returns the observations of either network; `route` shows how the machine's own routes lead to Pods. */
export const observationsWith = (route: Observation, { domain }: Lab): readonly Observation[] => [
  observe({ en: 'the Node is Ready', fr: 'le Node est Ready' }, 'kubectl get nodes', lines(1, / Ready /)),
  observe(
    { en: 'its taint is gone', fr: 'son taint a disparu' },
    "kubectl get nodes -o jsonpath='{.items[0].spec.taints}'",
    printsNothing,
  ),
  observe(
    {
      en: 'the scheduler has placed the Pods, and they run, each with an address',
      fr: 'le scheduler a placé les Pods, et ils tournent, chacun avec une adresse',
    },
    `${webPods} -o wide`,
    (output, { lab }) => {
      const [first, second] = lab.podCIDR.split('.');
      lines(2, new RegExp(`1/1 +Running .* ${first}\\.${second}\\.`))(output);
    },
    { before: (context) => ensureImages(context, 'agnhost') },
  ),
  route,
  observe(
    {
      en: 'the Service leads to each of them half of the time',
      fr: 'le Service mène à chacun d’eux une fois sur deux',
    },
    chainOfWeb,
    all(lines(2, / -j KUBE-SEP-/), says('--probability 0.50000000000')),
  ),
  observe(
    { en: 'a Pod reaches it by its address', fr: 'un Pod le joint par son adresse' },
    fromPod("$(kubectl get service web -o jsonpath='{.spec.clusterIP}'):3000"),
    says('connected'),
  ),
  notYet(
    observe(
      {
        en: 'but not by its name: nobody answers questions of DNS yet',
        fr: 'mais pas par son nom : personne ne répond encore aux questions DNS',
      },
      byName(domain),
      all(says('DNS'), saysNot('connected')),
    ),
  ),
];
