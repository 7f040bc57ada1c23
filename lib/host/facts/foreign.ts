import { readdir } from 'node:fs/promises';
import { exists, readIfThere } from '../files.ts';
import { paths, system } from '../paths.ts';

/** Units and folders that show a Kubernetes or a container runtime of others, beside units with our names. */
const foreignUnits = [
  'docker',
  'crio',
  'k3s',
  'k3s-agent',
  'rke2-server',
  'k0scontroller',
  'snap.microk8s.daemon-kubelite',
];
const foreignFolders = [
  '/etc/kubernetes',
  system.kubelet,
  '/var/lib/etcd',
  '/var/lib/rancher',
  '/var/lib/k0s',
  system.cniConfig,
  '/var/snap/microk8s',
];

const unitFolders = ['/etc/systemd/system', '/run/systemd/system', '/lib/systemd/system', '/usr/lib/systemd/system'];

/**
 * Finds traces of a Kubernetes, a container runtime or an etcd of others, as sentences. `ourUnits` are the names of our units: one
 * that does not start a program of ours is foreign.
 */
export const foreignTraces = async (ourUnits: readonly string[]): Promise<readonly string[]> => {
  const units = await Promise.all(
    [...ourUnits, ...foreignUnits].map(async (unit) => {
      for (const folder of unitFolders) {
        const text = await readIfThere(`${folder}/${unit}.service`);
        if (text !== undefined && !text.includes(paths.bin)) return [`the unit ${folder}/${unit}.service`];
      }
      return [];
    }),
  );
  const folders = await Promise.all(
    foreignFolders.map(async (folder) => {
      const entries = await readdir(folder).catch(() => []);
      return entries.length > 0 ? [`files in ${folder}`] : [];
    }),
  );
  const socket = (await exists(system.containerdSocket)) ? [`the socket ${system.containerdSocket}`] : [];
  return [...units.flat(), ...folders.flat(), ...socket];
};
