import type { Undoer } from '../engine/gate.ts';
import { certFile, keyFile } from '../host/paths.ts';
import { type Credentials, requestText } from './http.ts';

/** Address of etcd for clients. */
export const etcdUrl = 'https://127.0.0.1:2379';
export const etcdCredentials: Credentials = {
  ca: certFile('etcd-ca'),
  cert: certFile('etcd-client'),
  key: keyFile('etcd-client'),
};

/** Encodes a key or value for etcd's JSON gateway. */
export const base64 = (text: string): string => Buffer.from(text).toString('base64');

/**
 * Sends a request to etcd's JSON gateway: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/. Throws as requestText
 * does.
 */
export const askEtcd = async <Answer>(method: 'put' | 'range' | 'deleterange', body: object): Promise<Answer> => {
  const text = await requestText(`${etcdUrl}/v3/kv/${method}`, {
    credentials: etcdCredentials,
    body: JSON.stringify(body),
  });
  return JSON.parse(text) as Answer;
};

/** Tells whether etcd holds a Secret that an API server has encrypted: its value begins with k8s:enc:. */
export const holdsEncryptedSecrets = async (): Promise<boolean> => {
  const secrets = { key: base64('/registry/secrets/'), range_end: base64('/registry/secrets0'), limit: 100 };
  const { kvs = [] } = await askEtcd<{ kvs?: { value: string }[] }>('range', secrets);
  return kvs.some(({ value }) => Buffer.from(value, 'base64').toString('latin1').startsWith('k8s:enc:'));
};

/** Range of the keys that begin with /registry/, the API server's objects. 0 is the character after /. */
const objects = { key: base64('/registry/'), range_end: base64('/registry0') };

/**
 * Deletes the API server's objects from an etcd that stays: another API server, with another key for its Secrets, could
 * not read them.
 */
export const removeObjects = async (undoer: Undoer): Promise<void> => {
  const { count = '0' } = await askEtcd<{ count?: string }>('range', { ...objects, count_only: true }).catch(() => ({
    count: 'all',
  }));
  if (count === '0') return;
  await undoer.apply(`${count} objects`, () => askEtcd('deleterange', objects));
};
