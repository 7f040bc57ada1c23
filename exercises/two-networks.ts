import { statIfThere } from '../lib/host/files.ts';
import { system } from '../lib/host/paths.ts';
import type { Exercise } from './exercise.ts';
import { aNewPodRuns, aReadyNode } from './look.ts';

const file = `${system.cniConfig}/05-bad.conflist`;

/** A second CNI configuration, which is no JSON, comes first in the alphabet. */
export const twoNetworks: Exercise = {
  id: 'two-networks',
  title: { en: 'New Pods get no network', fr: 'Les nouveaux Pods n’ont pas de réseau' },
  topics: ['CNI', 'containerd', 'Node'],
  level: 2,
  minutes: 8,
  cni: 'bridge',
  async prepare({ host }) {
    await host.writeFile(file, '{ "cniVersion": "1.0.0", "name": "lab", "plugins": [\n', 0o600);
    await host.sh(['systemctl', 'restart', 'containerd.service']);
  },
  ticket: {
    en: 'New Pods stay in ContainerCreating, and the Node is NotReady. I have looked at 10-bridge.conflist three times: it is right. Old Pods answer.',
    fr: 'Les nouveaux Pods restent en ContainerCreating et le Node est NotReady. J’ai relu 10-bridge.conflist trois fois : il est correct. Les anciens Pods répondent.',
  },
  hints: async () => [
    {
      en: 'kubectl describe node says who is not ready. Who gives a Pod its network: the kubelet, or its container runtime?',
      fr: 'kubectl describe node dit qui n’est pas prêt. Qui donne son réseau à un Pod : le kubelet ou son runtime de conteneurs ?',
    },
    {
      en: `Read journalctl -u containerd, and list ${system.cniConfig}: files are taken in the order of the alphabet.`,
      fr: `Lisez journalctl -u containerd, puis listez ${system.cniConfig} : les fichiers sont pris dans l’ordre alphabétique.`,
    },
    (await statIfThere(file))
      ? { en: `${file} is cut off, and comes first.`, fr: `${file} est tronqué, et il passe en premier.` }
      : {
          en: 'The file is gone. If it goes on, containerd has not seen that: start it again.',
          fr: 'Le fichier n’est plus là. Si cela continue, containerd ne l’a pas vu : redémarrez-le.',
        },
  ],
  solved: [aReadyNode, aNewPodRuns],
  free: [file],
  restarts: ['containerd'],
  solution: [`rm ${file}`, 'systemctl restart containerd'],
  explanation: {
    en: 'containerd takes the first file of its folder, and that one was cut off: then it has no network at all, and the right file behind it does not count. It happens when a CNI plugin is replaced and the files of the former one stay.',
    fr: 'containerd prend le premier fichier de son dossier, et celui-ci était tronqué : il n’a alors plus aucun réseau, et le bon fichier qui suit ne compte pas. Cela arrive quand on remplace un plugin CNI et que les fichiers du précédent restent.',
  },
};
