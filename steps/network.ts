import { ensureImages } from '../lib/cluster/images.ts';
import type { Lab } from '../lib/engine/lab.ts';
import type { Observation } from '../lib/engine/step.ts';
import { kubectl } from './by-hand.ts';
import { chainOfWeb, fromPod, webPods } from './demo.ts';
import { all, lines, observe, printsNothing, says, saysNot } from './observe.ts';

/** The reference plugins of CNI that the networks are made of. */
export const plugins = ['bridge', 'host-local', 'loopback', 'portmap', 'firewall'];

/** A proof by hand that ends well once the Node is Ready. */
export const nodeTurnsReady = (node: string): string =>
  `${kubectl} wait node ${node} --for=condition=Ready --timeout=5s`;

/** What is true of either network; `route` shows how the machine's own routes lead to Pods. */
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
    { before: ensureImages },
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
  observe(
    {
      en: 'but not by its name: nobody answers questions of DNS yet',
      fr: 'mais pas par son nom : personne ne répond encore aux questions DNS',
    },
    // The whole name with its dot: one question, not one for each domain of the search list.
    fromPod(`web.default.svc.${domain}.:3000`),
    all(says('DNS'), saysNot('connected')),
  ),
];
