import { handedFolder } from '../lib/engine/daemon.ts';
import { readText } from '../lib/host/files.ts';
import { paths } from '../lib/host/paths.ts';
import type { Exercise } from './exercise.ts';
import { wrongPart } from './fault.ts';
import { withNewPod } from './look.ts';

const unit = `${paths.units}/kube-scheduler.service`;
const right = `${handedFolder('kube-scheduler')}/kube-scheduler.conf`;
const wrong = `${handedFolder('kube-scheduler')}/scheduler.conf`;

/** kube-scheduler is given a kubeconfig that does not exist. */
export const pending: Exercise = {
  id: 'pending',
  title: { en: 'New Pods stay Pending', fr: 'Les nouveaux Pods restent Pending' },
  topics: ['scheduler', 'kubeconfig'],
  level: 1,
  minutes: 5,
  ticket: {
    en: 'Since this morning each new Pod stays Pending. kubectl describe shows no event. What ran before still runs.',
    fr: 'Depuis ce matin, chaque nouveau Pod reste Pending. kubectl describe ne montre aucun événement. Ce qui tournait avant tourne encore.',
  },
  hints: async () => [
    {
      en: 'A Pod without any event: nobody has looked at it yet. Which component chooses a Node?',
      fr: 'Un Pod sans aucun événement : personne ne l’a encore regardé. Quel composant choisit un Node ?',
    },
    { en: 'Read journalctl -u kube-scheduler.', fr: 'Lisez journalctl -u kube-scheduler.' },
    (await readText(unit)).includes(` --kubeconfig=${wrong}`)
      ? {
          en: `${unit} names ${wrong}: compare it with LoadCredential= there.`,
          fr: `${unit} nomme ${wrong} : comparez avec LoadCredential= dans ce fichier.`,
        }
      : {
          en: 'The unit file is not the one that runs: systemctl daemon-reload, then start the component again.',
          fr: 'Le fichier unit n’est pas celui qui tourne : systemctl daemon-reload, puis redémarrez le composant.',
        },
  ],
  solved: [
    {
      phrase: { en: 'the scheduler gives a new Pod a Node', fr: 'le scheduler donne un Node à un nouveau Pod' },
      probe: (context, signal) =>
        withNewPod(
          context,
          async ({ metadata, spec }, api) => {
            if (!spec.nodeName) throw new Error('it has no Node');
            const { items } = await api.get<{ items: readonly { reason: string }[] }>(
              `/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=${metadata.name}`,
            );
            if (!items.some(({ reason }) => reason === 'Scheduled')) throw new Error('no event says Scheduled');
          },
          signal,
        ),
    },
  ],
  ...wrongPart({ component: 'kube-scheduler', right: `--kubeconfig=${right}`, wrong: `--kubeconfig=${wrong}` }),
  explanation: {
    en: 'kube-scheduler was given a kubeconfig that does not exist, ended, and systemd started it again and again. A Pod that nobody looks at has no event at all, which tells a missing scheduler from one that finds no Node. It happens when a file is renamed and one unit forgotten.',
    fr: 'kube-scheduler avait reçu un kubeconfig qui n’existe pas ; il s’arrêtait, et systemd le relançait sans fin. Un Pod que personne ne regarde n’a aucun événement : c’est ce qui distingue un scheduler absent d’un scheduler qui ne trouve pas de Node. Cela arrive quand un fichier est renommé et qu’une unit est oubliée.',
  },
};
