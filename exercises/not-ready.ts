import { paths, system } from '../lib/host/paths.ts';
import type { Exercise } from './exercise.ts';
import { wrongPart } from './fault.ts';
import { aNewPodRuns, aReadyNode } from './look.ts';

const file = `${paths.config}/kubelet.yaml`;
const right = `unix://${system.containerdSocket}`;
const wrong = right.replace(/sock$/, 'sok');

/** The kubelet is sent to a socket on which nobody listens. */
export const notReady: Exercise = {
  id: 'not-ready',
  title: { en: 'The Node goes NotReady', fr: 'Le Node passe NotReady' },
  topics: ['kubelet', 'containerd'],
  level: 2,
  minutes: 6,
  ticket: {
    en: 'After a change in the night the Node goes NotReady, and new Pods do not start. The Pods that ran still answer.',
    fr: 'Après un changement cette nuit, le Node passe NotReady et les nouveaux Pods ne démarrent pas. Les Pods d’avant répondent toujours.',
  },
  hints: async () => [
    {
      en: 'Who tells the API server that the Node is Ready? Pods live on without it.',
      fr: 'Qui dit au serveur d’API que le Node est Ready ? Les Pods continuent sans lui.',
    },
    {
      en: 'Read journalctl -u kubelet; crictl info asks containerd itself.',
      fr: 'Lisez journalctl -u kubelet ; crictl info interroge containerd lui-même.',
    },
    {
      en: `containerRuntimeEndpoint in ${file}: compare it with ls /run/containerd.`,
      fr: `containerRuntimeEndpoint dans ${file} : comparez avec ls /run/containerd.`,
    },
  ],
  solved: [aReadyNode, aNewPodRuns],
  ...wrongPart({ component: 'kubelet', file, right, wrong }),
  explanation: {
    en: 'The kubelet could not reach containerd, ended, and no longer renewed its Lease: after 40 seconds the Node counts as lost. containerd and its shims went on, so Pods answered. It happens when a socket moves with a new version of the runtime.',
    fr: 'Le kubelet n’atteignait plus containerd, s’arrêtait et ne renouvelait plus son Lease : après 40 secondes le Node est considéré comme perdu. containerd et ses shims continuaient, donc les Pods répondaient. Cela arrive quand la socket du runtime change de place.',
  },
};
