import { readdir } from 'node:fs/promises';
import type { Exercise } from '../../exercises/exercise.ts';
import { type Api, apiOf } from '../../lib/cluster/api.ts';
import { readJsonV1 } from '../../lib/engine/state.ts';
import type { Context } from '../../lib/engine/step.ts';
import { sha256OfFile, statIfThere } from '../../lib/host/files.ts';
import { paths, system } from '../../lib/host/paths.ts';
import { fields, mapOf, text } from '../../lib/host/shape.ts';
import { components } from '../../steps/index.ts';

/** What must stay as it is while somebody repairs: the checksum of each file, and the UID of the cluster's own namespace. */
type Baseline = Readonly<Record<string, string>>;

const baselineFile = `${paths.practice}/baseline.json`;
const cluster = 'UID of the namespace kube-system';

const filesIn = async (folder: string): Promise<readonly string[]> =>
  (await readdir(folder, { withFileTypes: true })).filter((one) => one.isFile()).map(({ name }) => `${folder}/${name}`);

const fingerprint = async (path: string): Promise<string> => {
  const stat = await statIfThere(path);
  if (!stat) return 'nothing';
  return stat.isFile() ? sha256OfFile(path) : (await readdir(path)).toSorted().join();
};

const uidOf = async (api: Api): Promise<string> =>
  (await api.get<{ metadata: { uid: string } }>('/api/v1/namespaces/kube-system')).metadata.uid;

/** Writes down what must stay, as a part of the exercise; units of a component count with their drop-ins. */
export const saveBaseline = async (context: Context, { free }: Exercise): Promise<void> => {
  const folders = [paths.certs, paths.kubeconfigs, paths.config, system.cniConfig];
  const units = components.flatMap((name) => [`${paths.units}/${name}.service`, `${paths.units}/${name}.service.d`]);
  const files = [...(await Promise.all(folders.map(filesIn))).flat(), ...units].filter((path) => !free.includes(path));
  const entries = await Promise.all(files.map(async (path) => [path, await fingerprint(path)]));
  const kept: Baseline = { ...Object.fromEntries(entries), [cluster]: await uidOf(await apiOf(context)) };
  await context.host.writeFile(baselineFile, JSON.stringify({ version: 1, kept }), 0o600);
};

const readBaseline = async (): Promise<Baseline> => {
  const read = await readJsonV1(baselineFile, fields({ kept: mapOf(text) }), 'hardway practice give-up');
  return (read as { readonly kept: Baseline }).kept;
};

/** Throws which of the files that must stay were changed. */
export const filesAreSpared = async (): Promise<void> => {
  const changed: string[] = [];
  for (const [path, before] of Object.entries(await readBaseline()))
    if (path !== cluster && (await fingerprint(path)) !== before) changed.push(path);
  if (changed.length > 0) throw new Error(`changed: ${changed.join(', ')}`);
};

/** Throws where the cluster is another one than before. */
export const clusterIsSpared = async (context: Context): Promise<void> => {
  const { [cluster]: before } = await readBaseline();
  const now = await uidOf(await apiOf(context));
  if (now !== before) throw new Error(`the ${cluster} was ${before}, is ${now}: etcd's data are others`);
};
