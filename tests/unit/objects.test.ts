import { describe, expect, test, vi } from 'vitest';
import { applyOne, deploymentIsAvailable, withStart } from '../../lib/cluster/objects.ts';
import { runChecks } from '../../lib/engine/check.ts';
import { ApiError } from '../../lib/engine/errors.ts';
import type { Context } from '../../lib/engine/step.ts';
import { coreDnsIsAvailable, isLoop } from '../../steps/coredns.ts';
import { kubelet } from '../../steps/kubelet.ts';
import { plainLab } from '../fixtures.ts';

const workload = (kind: string) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: 'web' },
  spec: { replicas: 1, template: { metadata: { labels: { app: 'web' }, annotations: { mine: 'x' } }, spec: {} } },
});

test.each(['Deployment', 'DaemonSet'])(
  'the Pods of a %s are other ones when what they take at their start has changed, and keep what they had',
  (kind) => {
    const [one, again, other] = ['ca', 'ca', 'another'].map((ca) => withStart(workload(kind), ca));
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
    expect(one).toMatchObject(workload(kind));
  },
);

describe('an object that is applied', () => {
  const object = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' } };
  const { signal } = new AbortController();

  test.each([
    ['nobody answered', new Error('no answer from the API server in 10 s')],
    ['the server was not ready', new ApiError(503, 'apiserver not ready')],
    ['the server had too much to do', new ApiError(429, 'too many requests')],
  ])('is applied once more where %s', async (_, error) => {
    const apply = vi.fn(async () => object).mockRejectedValueOnce(error);
    await applyOne({ apply }, object, signal);
    expect(apply).toHaveBeenCalledTimes(2);
  });

  test.each([
    ['the server refuses', new ApiError(422, 'spec is wrong')],
    ['the code is wrong', new TypeError('x is not a function')],
  ])('is not where %s', async (_, error) => {
    const apply = vi.fn(async () => object).mockRejectedValue(error);
    await expect(applyOne({ apply }, object, signal)).rejects.toBe(error);
    expect(apply).toHaveBeenCalledTimes(1);
  });
});

test('what makes no Pods is left as it is', () => {
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' } };
  expect(withStart(service, 'ca')).toBe(service);
});

/** A context whose API server answers a path with what the first key that it begins with leads to. */
const contextWith = (answers: Readonly<Record<string, unknown>>): Context => {
  const answer = async (path: string): Promise<unknown> => {
    const key = Object.keys(answers).find((one) => path.startsWith(one));
    if (key === undefined) throw new Error(`nobody was to ask for ${path}`);
    return answers[key];
  };
  return { lab: plainLab, memo: async () => ({ get: answer, text: answer }) } as unknown as Context;
};

const system = '/namespaces/kube-system';
const deployment = (status: object) => ({
  [`/apis/apps/v1${system}/deployments/coredns`]: {
    metadata: { generation: 1 },
    spec: { replicas: 1, selector: { matchLabels: { 'k8s-app': 'kube-dns' } } },
    status: { observedGeneration: 1, ...status },
  },
});
const pods = `/api/v1${system}/pods?labelSelector=k8s-app%3Dkube-dns`;
const looping = {
  [`/api/v1${system}/pods/coredns-1/log?container=coredns&tailLines=20&previous=true`]:
    '[FATAL] plugin/loop: Loop (10.200.0.5:41313 -> :53) detected for zone ".", see https://coredns.io/plugins/loop\n',
  [pods]: {
    items: [
      {
        metadata: { name: 'coredns-1', namespace: 'kube-system', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' },
        status: {
          phase: 'Running',
          containerStatuses: [
            {
              name: 'coredns',
              ready: false,
              state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } },
              lastState: { terminated: { exitCode: 1, reason: 'Error' } },
            },
          ],
        },
      },
    ],
  },
};

describe('a Deployment', () => {
  test('is available when all its Pods are and none is of an older version, and its Pods are not asked for', async () => {
    const all = { replicas: 1, updatedReplicas: 1, availableReplicas: 1 };
    await deploymentIsAvailable(contextWith(deployment(all)), 'kube-system', 'coredns');
  });

  test('that may make no Pod says why', async () => {
    const conditions = [{ type: 'ReplicaFailure', status: 'True', message: 'pods "x" is forbidden: exceeded quota' }];
    await expect(
      deploymentIsAvailable(contextWith(deployment({ conditions })), 'kube-system', 'coredns'),
    ).rejects.toThrow(/^0 of 1 Pods of coredns available; pods "x" is forbidden: exceeded quota$/);
  });

  test('of CoreDNS that asks itself says so, and names the file of name servers', async () => {
    const [failure] = await runChecks([coreDnsIsAvailable], contextWith({ ...deployment({}), ...looping }));
    expect(failure?.reason).toMatch(
      /^0 of 1 Pods of coredns available; Pod coredns-1: container coredns is in CrashLoopBackOff \(exit code 1\): \[FATAL\] plugin\/loop: Loop .*; a name server .* leads back to it: .* \/etc\/resolv\.conf$/,
    );
    expect(isLoop(failure?.reason ?? '')).toBe(true);
  });
});

test('a Node that is short of something is named by what', async () => {
  const pressure = kubelet.checks.filter(({ deferred }) => deferred);
  const node = (status: string) =>
    contextWith({
      '/api/v1/nodes/lab-1': {
        status: {
          conditions: [
            { type: 'MemoryPressure', status: 'False', message: 'kubelet has sufficient memory available' },
            { type: 'DiskPressure', status, message: 'kubelet has disk pressure' },
          ],
        },
      },
    });
  expect(await runChecks(pressure, node('False'))).toEqual([]);
  expect(await runChecks(pressure, node('True'))).toMatchObject([
    { reason: 'DiskPressure: kubelet has disk pressure' },
  ]);
});
