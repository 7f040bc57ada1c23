import { createHash, createPublicKey } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from '../engine/step.ts';
import { readIfThere, readText } from '../host/files.ts';
import { certFile, system } from '../host/paths.ts';
import { blocksOf, firstBlock } from '../pki/pem.ts';
import { apiOf } from './api.ts';

const pods = `${system.kubelet}/pods`;

/** A file that the kubelet keeps up to date in a volume of a Pod, and its content. */
interface Projected {
  readonly path: string;
  readonly content: string;
}

const namesIn = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => []);

/** Reads the files of every Pod that come from ConfigMaps, Secrets and ServiceAccounts together (projected volumes). */
const projectedFiles = async (): Promise<readonly Projected[]> => {
  const found: Projected[] = [];
  for (const pod of await namesIn(pods)) {
    const volumes = join(pods, pod, 'volumes/kubernetes.io~projected');
    for (const volume of await namesIn(volumes)) {
      // The kubelet writes a new folder each time, and leads this link to it.
      const current = join(volumes, volume, '..data');
      for (const name of await namesIn(current)) {
        const content = await readIfThere(join(current, name)).catch(() => undefined);
        if (content !== undefined) found.push({ path: join(volumes, volume, name), content });
      }
    }
  }
  return found;
};

/** Returns the id that kube-apiserver gives to a key of tokens: the checksum of its public key. */
export const keyIdOf = (publicKey: string): string =>
  createHash('sha256')
    .update(createPublicKey(publicKey).export({ type: 'spki', format: 'der' }))
    .digest('base64url');

/** Returns the id of the key that signed a token (JWT); undefined for another text. */
export const signerOfToken = (token: string): string | undefined => {
  const [, header] = /^([\w-]+)\.[\w-]+\.[\w-]+\s*$/.exec(token) ?? [];
  if (header === undefined) return undefined;
  try {
    return (JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid?: string }).kid;
  } catch {
    return undefined;
  }
};

const certificatesIn = (text: string): readonly string[] =>
  blocksOf(text)
    .map((block) => block.replaceAll(/\s/g, ''))
    .toSorted();

/** Throws where a volume of a Pod has the CAs in another state than the CA's file: the kubelet is about to write it. */
export const podsHaveCa = async (): Promise<void> => {
  const wanted = certificatesIn(await readText(certFile('ca')));
  const late = (await projectedFiles()).find(
    ({ path, content }) => path.endsWith('/ca.crt') && certificatesIn(content).join() !== wanted.join(),
  );
  if (late) throw new Error(`${late.path} has another CA than ${certFile('ca')}`);
};

/** Throws where a Pod has a token that was signed with this public key. */
export const podsHaveNoTokenOf = async (publicKey: string): Promise<void> => {
  const id = keyIdOf(publicKey);
  const late = (await projectedFiles()).find(({ content }) => signerOfToken(content) === id);
  if (late) throw new Error(`${late.path} is a token of the old key`);
};

interface ConfigMap {
  readonly metadata: { readonly namespace: string };
  readonly data?: { readonly 'ca.crt'?: string };
}

/** Throws where the ConfigMap from which Pods get the CA is another one than the CA's file, in any namespace. */
export const namespacesHaveCa = async (context: Context): Promise<void> => {
  const wanted = await readText(certFile('ca'));
  const chosen = encodeURIComponent('metadata.name=kube-root-ca.crt');
  const { items } = await (await apiOf(context)).get<{ items: ConfigMap[] }>(
    `/api/v1/configmaps?fieldSelector=${chosen}`,
  );
  const late = items.find(({ data }) => data?.['ca.crt'] !== wanted);
  if (late)
    throw new Error(`the ConfigMap kube-root-ca.crt of ${late.metadata.namespace} has another CA than the file`);
};

interface TokenSecret {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly data?: { readonly token?: string };
}

/** Lists the Secrets, as namespace/name, with a token without an end that was signed with this public key. */
export const secretsWithTokenOf = async (context: Context, publicKey: string): Promise<readonly string[]> => {
  const id = keyIdOf(firstBlock(publicKey));
  const type = encodeURIComponent('type=kubernetes.io/service-account-token');
  const { items } = await (await apiOf(context)).get<{ items: TokenSecret[] }>(`/api/v1/secrets?fieldSelector=${type}`);
  return items
    .filter(({ data }) => signerOfToken(Buffer.from(data?.token ?? '', 'base64').toString()) === id)
    .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
};
