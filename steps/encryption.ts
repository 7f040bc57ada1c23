import { randomBytes } from 'node:crypto';
import { stringify } from 'yaml';
import { apiOf } from '../lib/cluster/api.ts';
import { holdsEncryptedSecrets } from '../lib/cluster/etcd.ts';
import { supervisorOf } from '../lib/daemons/supervisor.ts';
import { reasonOf, UserError } from '../lib/engine/errors.ts';
import { isWrittenBy, readLedger } from '../lib/engine/ledger.ts';
import type { Context } from '../lib/engine/step.ts';
import { newerFile, readSmallIfThere } from '../lib/host/files.ts';
import { paths } from '../lib/host/paths.ts';

/** File with the key with which kube-apiserver encrypts Secrets in etcd. */
export const encryption = `${paths.config}/encryption.yaml`;

/** Returns a configuration with a new key. */
const newConfig = (): string =>
  stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: [
          { secretbox: { keys: [{ name: 'key1', secret: randomBytes(32).toString('base64') }] } },
          { identity: {} },
        ],
      },
    ],
  });

/** Throws unless the API server was started with the file as it is now and reads every Secret with its key. */
const requireInUse = async (context: Context): Promise<void> => {
  const [status] = await supervisorOf(context.lab).statuses(['kube-apiserver']);
  if (!status?.active)
    throw new Error(`${encryption} is not as hardway wrote it, and no API server has shown that it fits`);
  if ((await newerFile([encryption], status.since)) !== undefined)
    throw new Error(`${encryption} was changed since kube-apiserver started, and may be another key at its next start`);
  await (await apiOf(context)).get('/api/v1/secrets').catch((error: unknown) => {
    throw new Error(`${encryption} is not as hardway wrote it, and does not open the Secrets: ${reasonOf(error)}`);
  });
};

/**
 * Throws when the key on the disk may not be that of the Secrets in etcd: the file is missing, or somebody changed it.
 * A changed one is right once an API server that was started with it reads the Secrets: keys can be rotated by hand.
 */
export const requireEncryptionKey = async (context: Context): Promise<void> => {
  const text = await readSmallIfThere(encryption);
  if (text === undefined) throw new Error(`${encryption} is missing`);
  if (!isWrittenBy(await readLedger(paths.ledger), encryption, text)) await requireInUse(context);
};

/** Tells whether a configuration has a key, or the socket of a program that keeps it. */
const holdsKey = (text: string): boolean => /^[\s-]*(secret|endpoint): *\S/m.test(text);

/**
 * Returns the encryption configuration of Secrets. Makes a new key only where etcd holds no Secret that another key
 * would have to open; throws UserError where it does and the key is missing or may be another one.
 */
export const encryptionConfig = async (context: Context): Promise<string> => {
  const text = await readSmallIfThere(encryption);
  if (context.host.dryRun) return text ?? newConfig();
  const fault = await requireEncryptionKey(context).then(() => undefined, reasonOf);
  if (text !== undefined && fault === undefined) return text;
  if (await holdsEncryptedSecrets())
    throw new UserError(
      `the key of the Secrets in etcd is missing: ${fault}`,
      `put the file back, then hardway up; or hardway reset --to etcd (all objects go). While kube-apiserver runs it may still know the key: kubectl get secrets -A -o yaml saves them`,
    );
  return text !== undefined && holdsKey(text) ? text : newConfig();
};
