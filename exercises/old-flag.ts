import type { Exercise } from './exercise.ts';
import { wrongPart } from './fault.ts';
import { aNewDeploymentIsObserved } from './look.ts';

const component = 'kube-controller-manager';
const right = '--leader-elect=false';
const wrong = '--leader-elect=false --address=127.0.0.1';

/** kube-controller-manager is given a flag that Kubernetes no longer has. */
export const oldFlag: Exercise = {
  id: 'old-flag',
  title: { en: 'A Deployment makes no Pods', fr: 'Un Deployment ne crée aucun Pod' },
  topics: ['controller-manager', 'upgrade'],
  level: 1,
  minutes: 5,
  ticket: {
    en: 'We copied the flags of our old cluster. Since then a new Deployment stays at 0 of 1, and has no ReplicaSet. A Pod that I make by hand runs.',
    fr: 'Nous avons repris les options de notre ancien cluster. Depuis, un nouveau Deployment reste à 0 sur 1 et n’a pas de ReplicaSet. Un Pod créé à la main tourne.',
  },
  hints: async () => [
    {
      en: 'Who turns a Deployment into a ReplicaSet, and that into Pods? Look whether it runs.',
      fr: 'Qui transforme un Deployment en ReplicaSet, puis celui-ci en Pods ? Regardez s’il tourne.',
    },
    {
      en: `Read journalctl -u ${component}, its first line after a start.`,
      fr: `Lisez journalctl -u ${component}, la première ligne après un démarrage.`,
    },
    {
      en: 'The flag that it calls unknown was removed from Kubernetes years ago: its secure port has --bind-address.',
      fr: 'L’option qu’il dit inconnue a été retirée de Kubernetes il y a des années : le port sécurisé a --bind-address.',
    },
  ],
  solved: [aNewDeploymentIsObserved],
  ...wrongPart({ component, right, wrong }),
  explanation: {
    en: 'A component ends at once for a flag that it does not know, and says which one. Nothing else is seen in the cluster: objects are stored, and nobody acts on them. It happens at each upgrade: the change log lists the flags that go.',
    fr: 'Un composant s’arrête aussitôt s’il ne connaît pas une option, et dit laquelle. Dans le cluster on ne voit rien d’autre : les objets sont enregistrés et personne n’agit. Cela arrive à chaque mise à jour : les notes de version listent les options retirées.',
  },
};
