import type { Exercise } from './exercise.ts';
import { wrongPart } from './fault.ts';
import { aNewServiceAnswers } from './look.ts';

const component = 'kube-controller-manager';
const right = '--controllers=*,';
const wrong = '--controllers=*,-endpointslice-controller,';

/** The controller that finds the Pods of a Service is switched off. */
export const noEndpoints: Exercise = {
  id: 'no-endpoints',
  title: { en: 'A Service finds no Pods', fr: 'Un Service ne trouve aucun Pod' },
  topics: ['controller-manager', 'Service'],
  level: 3,
  minutes: 12,
  ticket: {
    en: 'My new Service refuses each connection. Its selector is right, its Pods are Ready, kube-proxy runs. The old ones work.',
    fr: 'Mon nouveau Service refuse chaque connexion. Son sélecteur est juste, ses Pods sont Ready, kube-proxy tourne. Les anciens fonctionnent.',
  },
  hints: async () => [
    {
      en: 'A Service has no list of Pods itself. Which object has it: kubectl get endpointslices?',
      fr: 'Un Service n’a pas lui-même la liste des Pods. Quel objet l’a : kubectl get endpointslices ?',
    },
    {
      en: 'Who writes that object? Read how it was started: systemctl cat.',
      fr: 'Qui écrit cet objet ? Lisez comment il est lancé : systemctl cat.',
    },
    {
      en: '--controllers of kube-controller-manager: a name after a minus is switched off.',
      fr: '--controllers de kube-controller-manager : un nom après un moins est désactivé.',
    },
  ],
  solved: [aNewServiceAnswers],
  ...wrongPart({ component, right, wrong }),
  explanation: {
    en: 'Each controller is a loop of its own: with one switched off all others go on, and nothing says so. A Service without an EndpointSlice has nowhere to lead to, and kube-proxy refuses its connections. It happens when somebody turns a controller off to look at something, and forgets it.',
    fr: 'Chaque contrôleur est une boucle à part : si l’un est désactivé, les autres continuent et rien ne le dit. Un Service sans EndpointSlice ne mène nulle part, et kube-proxy refuse ses connexions. Cela arrive quand quelqu’un désactive un contrôleur pour observer, puis l’oublie.',
  },
};
