import { Agent, request } from 'node:https';
import { ApiError } from '../engine/errors.ts';
import type { Context } from '../engine/step.ts';
import { readText } from '../host/files.ts';
import { certFile, keyFile } from '../host/paths.ts';
import { answerTo, trustAsGiven } from './http.ts';

/** A Kubernetes object: the fields that every kind has. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [key: string]: unknown };
  readonly [key: string]: unknown;
}

/** Turns a 404 of the API server into undefined; other errors pass. */
export const ifThere = <T>(asked: Promise<T>): Promise<T | undefined> =>
  asked.catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  });

export interface Api {
  /** Returns the body of a GET as text. Throws ApiError. */
  readonly text: (path: string) => Promise<string>;
  /** Returns the body of a GET as JSON. Throws ApiError. */
  readonly get: <T>(path: string) => Promise<T>;
  /** Applies one object (server-side apply) and returns it as the server stored it. Throws ApiError. */
  readonly apply: (object: KubeObject) => Promise<KubeObject>;
  /** Merges `patch` into the object at this path, or into the part of it that the path ends with, such as its status. */
  readonly patchAt: (path: string, patch: object) => Promise<void>;
  /** Deletes the object at this path; a missing one is no error. */
  readonly removeAt: (path: string, options?: Readonly<Record<string, unknown>>) => Promise<void>;
  /** Deletes the object; a missing one is no error. */
  readonly remove: (object: KubeObject, options?: Readonly<Record<string, unknown>>) => Promise<void>;
}

interface Resource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** Milliseconds without a byte until the API server counts as not answering. */
const timeoutMs = 10_000;

/**
 * Opens a client of this machine's API server, as the owner of a certificate, over one kept-alive connection. It uses
 * plain node:https, because the official client takes a third of a second to load.
 */
const openApi = async (identity: string): Promise<Api> => {
  const [ca, cert, key] = await Promise.all(
    [certFile('ca'), certFile(identity), keyFile(identity)].map((file) => readText(file)),
  );
  const agent = new Agent({ keepAlive: true, ca, ...trustAsGiven, cert, key, maxSockets: 8 });

  const ask = async (method: string, path: string, object?: unknown, type = 'application/json'): Promise<string> => {
    const text = object === undefined ? undefined : JSON.stringify(object);
    // Node sends no content-length with a DELETE; the server would take its body for the next request.
    const headers = text === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) };
    const asked = request({ agent, method, path, headers, host: '127.0.0.1', port: 6443, timeout: timeoutMs });
    const { status, body } = await answerTo(asked, { whom: 'the API server', timeoutMs: timeoutMs, body: text });
    if (status < 400) return body;
    throw new ApiError(status, messageOf(body) ?? `${status} from ${path}`);
  };

  const resources = new Map<string, Promise<readonly Resource[]>>();
  const groupPath = (apiVersion: string): string =>
    apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  /** Returns the path of the objects of a kind. Asks the server's discovery, once a group. */
  const collection = async ({ apiVersion, kind, metadata }: KubeObject): Promise<string> => {
    const group = groupPath(apiVersion);
    const known =
      resources.get(group) ??
      ask('GET', group).then((text) => (JSON.parse(text) as { resources: Resource[] }).resources);
    resources.set(group, known);
    const list = await known.catch((error: unknown) => {
      resources.delete(group); // its CustomResourceDefinition may not be established yet: ask again next time
      throw error;
    });
    const resource = list.find((one) => one.kind === kind && !one.name.includes('/'));
    if (!resource) {
      resources.delete(group);
      throw new ApiError(404, `the API server knows no kind ${kind} in ${apiVersion}`);
    }
    return resource.namespaced
      ? `${group}/namespaces/${metadata.namespace ?? 'default'}/${resource.name}`
      : `${group}/${resource.name}`;
  };

  const removeAt: Api['removeAt'] = async (path, options = {}) => {
    await ifThere(ask('DELETE', path, { apiVersion: 'v1', kind: 'DeleteOptions', ...options }));
  };

  return {
    text: (path) => ask('GET', path),
    get: async <T>(path: string) => JSON.parse(await ask('GET', path)) as T,
    apply: async (object) => {
      const path = `${await collection(object)}/${object.metadata.name}?fieldManager=hardway&force=true`;
      return JSON.parse(await ask('PATCH', path, object, 'application/apply-patch+yaml')) as KubeObject;
    },
    patchAt: async (path, patch) => {
      await ask('PATCH', path, patch, 'application/strategic-merge-patch+json');
    },
    removeAt,
    remove: async (object, options = {}) => {
      await removeAt(`${await collection(object)}/${object.metadata.name}`, options);
    },
  };
};

const messageOf = (text: string): string | undefined => {
  try {
    return (JSON.parse(text) as { message?: string }).message;
  } catch {
    const lines = text.trim().split('\n');
    const failing = lines.filter((line) => line.startsWith('[-]')); // /readyz?verbose: what is not ready yet
    return (failing.length > 0 ? failing : lines.slice(-12)).join('\n') || undefined;
  }
};

/** Returns the run's client of the API server, the admin; opens it at the first call. */
export const apiOf = ({ memo }: Context): Promise<Api> => memo('api', () => openApi('admin'));

/** Returns a client whom no role can hold back. It is there to give the admin its rights, and for nothing else. */
export const superAdminApiOf = ({ memo }: Context): Promise<Api> =>
  memo('api of super-admin', () => openApi('super-admin'));
