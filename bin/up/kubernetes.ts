import { findKubernetes, kubernetesVersions, usualKubernetes } from '../../lib/binaries/versions.ts';
import { UserError } from '../../lib/engine/errors.ts';
import { parseChoice } from '../../lib/engine/nearest.ts';

/** Parses a version of Kubernetes, whole or minor. Throws UserError for one that this hardway does not have. */
const parseKubernetes = (text: string): string =>
  findKubernetes(text) ?? parseChoice('Kubernetes', kubernetesVersions(), text);

/** Returns the minor version, v1.36 of v1.36.3, and its number, 36. */
const minorOf = (version: string) => {
  const [major = '', number = ''] = version.split('.');
  return { name: `${major}.${number}`, number: Number(number) };
};

/**
 * Returns the version of Kubernetes of a lab: the one asked for, else that of the lab that is here, else the usual one. A
 * lab keeps its minor version; of that it gets the patch release that this hardway has. Throws UserError where it has
 * none.
 */
export const kubernetesFor = (asked: string | undefined, had: string | undefined): string => {
  if (asked !== undefined) return parseKubernetes(asked);
  if (had === undefined) return usualKubernetes();
  const found = findKubernetes(minorOf(had).name);
  if (found) return found;
  throw new UserError(
    `this lab has Kubernetes ${had}, and this hardway has ${kubernetesVersions().join(', ')}`,
    'hardway up --kubernetes with the next minor version, where it is one of them; else the hardway that made the lab',
  );
};

/**
 * Throws UserError for a change of version that a cluster cannot take: kube-apiserver goes up one minor version at a time,
 * as an older one cannot read what it has stored and a newer one no longer knows older APIs
 * (https://kubernetes.io/releases/version-skew-policy/). The order of the steps is that of the policy: it comes before
 * its clients.
 */
export const refuseSkew = (from: string, to: string): void => {
  const distance = minorOf(to).number - minorOf(from).number;
  if (distance === 0 || distance === 1) return;
  const next = kubernetesVersions().find((version) => minorOf(version).number === minorOf(from).number + 1);
  const why =
    distance < 0
      ? 'kube-apiserver never goes down a minor version: the older one may not read what the newer has stored'
      : 'kube-apiserver goes up one minor version at a time';
  throw new UserError(
    `this lab has Kubernetes ${from}; it cannot become ${to} while it is up: ${why}`,
    `${distance > 1 && next ? `hardway up --kubernetes ${next} first; or ` : ''}hardway reset --to certificates, then hardway up --kubernetes ${to}`,
  );
};
