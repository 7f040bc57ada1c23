import { parse } from 'yaml';
import { z } from 'zod';
import { Unhealthy, UserError } from '../engine/errors.ts';
import { removeInHome } from '../host/anchor.ts';
import { makeFolder, statIfThere, writeAtomically } from '../host/files.ts';
import { kubeconfigFile } from '../host/paths.ts';
import { person } from '../host/person.ts';
import { kubeconfig } from '../pki/kubeconfig.ts';
import { execInVm, type Vm } from './vm.ts';

/** What is taken over from the kubeconfig of the admin inside; all three are base64. */
const adminSchema = z.object({
  clusters: z.tuple([z.object({ cluster: z.object({ 'certificate-authority-data': z.base64() }) })]),
  users: z.tuple([
    z.object({ user: z.object({ 'client-certificate-data': z.base64(), 'client-key-data': z.base64() }) }),
  ]),
});

/**
 * Returns the kubeconfig of the admin inside with another address of the API server, and with names by which it can be
 * merged with those of other VMs.
 */
export const outside = (name: string, port: number, text: string): string => {
  const { clusters, users } = adminSchema.parse(parse(text));
  const pem = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8');
  const [{ user }] = users;
  return kubeconfig({
    server: `https://127.0.0.1:${port}`,
    ca: pem(clusters[0].cluster['certificate-authority-data']),
    user: `${name}-admin`,
    certificate: pem(user['client-certificate-data']),
    key: pem(user['client-key-data']),
    cluster: name,
  });
};

const placeIn = (home: string, name: string): string => `${home}/.kube/hardway-${name}.yaml`;

/**
 * Writes a kubeconfig by which programs on this machine reach the cluster in a running VM, into the home of the person
 * behind sudo, for that person only; returns its path. Throws UserError where the VM has no cluster, or was booted by a
 * hardway that made no way to it.
 */
export const writeKubeconfig = async (vm: Vm, port: number | undefined): Promise<string> => {
  if (port === undefined)
    throw new UserError(
      `The VM '${vm.name}' was booted by an older hardway, which made no way to its cluster`,
      `hardway vm stop ${vm.name}, then hardway vm start ${vm.name}`,
    );
  const admin = await execInVm(vm, ['cat', kubeconfigFile('admin')], { timeout: 20_000 });
  if (admin.code !== 0) throw new UserError(`There is no cluster in the VM '${vm.name}'`, `hardway vm up ${vm.name}`);
  const { home, owner } = await person();
  const path = placeIn(home, vm.name);
  const folder = `${home}/.kube`;
  const there = await statIfThere(folder);
  if (there && !there.isDirectory())
    throw new Unhealthy(`${folder} is no folder, and root follows no link in a home`, { next: `ls -l ${folder}` });
  if (!there) await makeFolder(folder, { mode: 0o750, owner });
  await writeAtomically(path, outside(vm.name, port, admin.stdout), { mode: 0o600, owner });
  return path;
};

/** Removes the kubeconfig of a VM that is gone from the home of the person behind sudo; through a link none was written. */
export const removeKubeconfig = async (name: string): Promise<void> => {
  const { home } = await person();
  const path = placeIn(home, name);
  if ((await statIfThere(`${home}/.kube`))?.isDirectory() && (await statIfThere(path))) await removeInHome(path);
};
