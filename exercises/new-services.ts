import { kubeconfigFile } from '../lib/host/paths.ts';
import type { Exercise } from './exercise.ts';
import { wrongPart } from './fault.ts';
import { aNewServiceAnswers } from './look.ts';

const file = kubeconfigFile('kube-proxy');
const right = 'https://127.0.0.1:6443';
const wrong = 'https://127.0.0.1:6444';

/** kube-proxy is sent to a port on which nobody listens. */
export const newServices: Exercise = {
  id: 'new-services',
  title: { en: 'New Services lead nowhere', fr: 'Les nouveaux Services ne mènent nulle part' },
  topics: ['kube-proxy', 'kubeconfig', 'Service'],
  level: 2,
  minutes: 8,
  ticket: {
    en: 'Services of last week work. One that I made today does not answer, though its Pods are Ready and its endpoints are there.',
    fr: 'Les Services de la semaine dernière fonctionnent. Celui que j’ai créé aujourd’hui ne répond pas, alors que ses Pods sont Ready et que ses endpoints sont là.',
  },
  hints: async () => [
    {
      en: 'The address of a Service is a rule. Is there one for yours: iptables-save -t nat | grep its address?',
      fr: 'L’adresse d’un Service est une règle. Y en a-t-il une pour le vôtre : iptables-save -t nat | grep son adresse ?',
    },
    { en: 'Who writes these rules? Read its journal.', fr: 'Qui écrit ces règles ? Lisez son journal.' },
    { en: `server: in ${file} has a wrong port.`, fr: `server: dans ${file} a un mauvais port.` },
  ],
  solved: [aNewServiceAnswers],
  ...wrongPart({ component: 'kube-proxy', file, right, wrong }),
  explanation: {
    en: 'kube-proxy did not reach the API server and heard of no change, but the rules that it had written stay in the kernel: old Services live without it. It happens when the address of a load balancer before the API server changes.',
    fr: 'kube-proxy n’atteignait plus le serveur d’API et n’apprenait aucun changement, mais les règles qu’il avait écrites restent dans le noyau : les anciens Services vivent sans lui. Cela arrive quand l’adresse du répartiteur devant le serveur d’API change.',
  },
};
