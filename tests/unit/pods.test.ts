import { describe, expect, test } from 'vitest';
import { newestWarning, type Pod, tellingLine, whyNotReady, whyPodsAreNotReady } from '../../lib/cluster/pods.ts';
import { ApiError } from '../../lib/engine/errors.ts';

const created = '2026-01-01T00:00:00Z';
const later = Date.parse(created) + 60_000;

const podWith = (status: Pod['status']): Pod => ({
  metadata: { name: 'web-1', namespace: 'default', uid: 'u1', creationTimestamp: created },
  status,
});

const notReady = {
  type: 'Ready',
  status: 'False',
  reason: 'ContainersNotReady',
  message: 'containers with unready status: [web]',
};
const podOf = (container: object): Pod =>
  podWith({
    phase: 'Running',
    conditions: [notReady],
    containerStatuses: [{ name: 'web', ready: false, ...container }],
  });

/** An API server that answers a path with what the first key that it contains leads to, and notes what it was asked. */
const apiOf = (answers: Readonly<Record<string, unknown>>) => {
  const asked: string[] = [];
  const answer = async (path: string): Promise<unknown> => {
    asked.push(decodeURIComponent(path));
    const found = Object.keys(answers).find((key) => path.includes(key));
    if (!found) throw new ApiError(404, `${path} is not there`);
    if (answers[found] instanceof Error) throw answers[found];
    return answers[found];
  };
  return {
    asked,
    get: <T>(path: string) => answer(path) as Promise<T>,
    text: (path: string) => answer(path) as Promise<string>,
  };
};

const warning = (message: string, lastTimestamp: string) => ({ type: 'Warning', message, lastTimestamp });

const sandbox =
  'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to mount rootfs: invalid argument';
const events = {
  items: [
    warning('an older one', '2026-01-01T00:00:01Z'),
    warning(sandbox, '2026-01-01T00:00:20Z'),
    { type: 'Normal', message: 'Successfully assigned', lastTimestamp: '2026-01-01T00:00:30Z' },
  ],
};

describe('the reason of a Pod that is not ready', () => {
  test.each<[string, Pod, Readonly<Record<string, unknown>>, string]>([
    [
      'whose sandbox cannot be made is the newest Warning',
      podOf({ state: { waiting: { reason: 'ContainerCreating' } } }),
      { '/events': events },
      `ContainerCreating: ${sandbox}`,
    ],
    [
      'whose image cannot be had is what the kubelet says of it, and nothing more is asked',
      podOf({
        state: { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "nothing.invalid/x"' } },
      }),
      {},
      'ImagePullBackOff: Back-off pulling image "nothing.invalid/x"',
    ],
    [
      'that ends again and again is the log of its previous run',
      podOf({
        state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s restarting failed container' } },
        lastState: { terminated: { exitCode: 1, reason: 'Error' } },
      }),
      { 'previous=true': 'CoreDNS-1.12\n[FATAL] plugin/loop: Loop (127.0.0.1:5 -> :53) detected for zone "."\n' },
      'container web is in CrashLoopBackOff (exit code 1): [FATAL] plugin/loop: Loop (127.0.0.1:5 -> :53) detected for zone "."',
    ],
    [
      'that needs too much memory is that it was killed',
      podOf({
        state: { waiting: { reason: 'CrashLoopBackOff' } },
        lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } },
      }),
      { '/log': '', '/events': { items: [] } },
      'container web is in CrashLoopBackOff (OOMKilled, exit code 137)',
    ],
    [
      'whose program is not in its image is what the runtime says',
      podOf({
        state: { waiting: { reason: 'CrashLoopBackOff' } },
        lastState: { terminated: { exitCode: 128, reason: 'StartError', message: 'exec: "/no": no such file' } },
      }),
      {},
      'container web is in CrashLoopBackOff (StartError, exit code 128): exec: "/no": no such file',
    ],
    [
      'that runs is the line of its log that tells of a failure, not the one that repeats that it waits',
      podOf({ state: { running: {} } }),
      {
        '/log':
          'Get "https://10.32.0.1:443/version": dial tcp 10.32.0.1:443: connect: no route to host\n[INFO] plugin/ready: Plugins not ready: "kubernetes"\n',
      },
      'container web runs and is not ready: Get "https://10.32.0.1:443/version": dial tcp 10.32.0.1:443: connect: no route to host',
    ],
    [
      'that runs and writes nothing is the newest Warning',
      podOf({ state: { running: {} } }),
      { '/log': '', '/events': { items: [warning('Readiness probe failed: HTTP 503', created)] } },
      'container web runs and is not ready: Readiness probe failed: HTTP 503',
    ],
    [
      'whose log the kubelet cannot give is said to be without one, with the cause',
      podOf({ state: { running: {} } }),
      { '/log': new ApiError(500, 'Get "https://10.0.0.1:10250/containerLogs/x": connection refused') },
      'its log cannot be read: Get "https://10.0.0.1:10250/containerLogs/x": connection refused',
    ],
    [
      'that waits for an init container is that container',
      podWith({
        phase: 'Pending',
        conditions: [notReady],
        initContainerStatuses: [
          { name: 'done', ready: true, state: { terminated: { exitCode: 0 } } },
          { name: 'install', ready: false, state: { terminated: { exitCode: 2, reason: 'Error' } } },
        ],
        containerStatuses: [{ name: 'web', ready: false, state: { waiting: { reason: 'PodInitializing' } } }],
      }),
      { 'container=install': 'cannot write' },
      'container install has ended (exit code 2): cannot write',
    ],
    [
      'that a taint keeps away is the taint by its name',
      podWith({
        phase: 'Pending',
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            message: '0/1 nodes are available: 1 node(s) had untolerated taint(s)',
          },
        ],
      }),
      {
        '/nodes': {
          items: [
            {
              metadata: { name: 'lab' },
              spec: { taints: [{ key: 'node.kubernetes.io/disk-pressure', effect: 'NoSchedule' }] },
            },
          ],
        },
      },
      'untolerated taint(s): the Node lab has the taint node.kubernetes.io/disk-pressure:NoSchedule',
    ],
    [
      'that the scheduler has not seen is that',
      podWith({ phase: 'Pending' }),
      {},
      'the scheduler has not looked at it yet',
    ],
    [
      'that was evicted is why',
      podWith({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: ephemeral-storage.' }),
      {},
      'Evicted: The node was low on resource: ephemeral-storage.',
    ],
  ])('%s', async (_, pod, answers, expected) => {
    const why = await whyNotReady(apiOf(answers), pod, later);
    expect(why).toMatch(/^Pod web-1: /);
    expect(why).toContain(expected);
  });

  test('costs no question while the Pod is young, and at most two later', async () => {
    const pod = podOf({ state: { running: {} } });
    const api = apiOf({ '/log': '', '/events': events });
    expect(await whyNotReady(api, pod, Date.parse(created) + 1000)).toBe(
      'Pod web-1: container web runs and is not ready',
    );
    expect(api.asked).toEqual([]);
    await whyNotReady(api, pod, later);
    expect(api.asked).toHaveLength(2);
  });

  test('is told without more where the API server has no more to tell', async () => {
    const pod = podOf({ state: { waiting: { reason: 'ContainerCreating' } } });
    expect(await whyNotReady(apiOf({}), pod, later)).toBe('Pod web-1: ContainerCreating');
  });
});

test('a Pod that is ready has no reason', async () => {
  const ready = podWith({
    phase: 'Running',
    conditions: [{ type: 'Ready', status: 'True' }],
    containerStatuses: [{ name: 'web', ready: true, state: { running: {} } }],
  });
  expect(await whyNotReady(apiOf({}), ready, later)).toBeUndefined();
});

test('among Pods only those with the labels are looked at, and one that is evicted or deleted only where there is no other', async () => {
  const evicted = podWith({ phase: 'Failed', reason: 'Evicted' });
  const waiting = podOf({ state: { waiting: { reason: 'ErrImagePull', message: 'not found' } } });
  const deleted = { ...podWith({ phase: 'Pending' }), metadata: { ...waiting.metadata, deletionTimestamp: created } };
  const api = apiOf({ '/pods?': { items: [evicted, deleted, waiting] } });
  expect(await whyPodsAreNotReady(api, 'default', { app: 'web', tier: 'front' })).toBe(
    'Pod web-1: ErrImagePull: not found',
  );
  expect(api.asked).toEqual(['/api/v1/namespaces/default/pods?labelSelector=app=web,tier=front']);
  expect(await whyPodsAreNotReady(apiOf({ '/pods?': { items: [evicted] } }), 'default', {})).toBe('Pod web-1: Evicted');
});

test('of several Pods that are not ready the newest says why: the older one is of a Deployment that was changed since', async () => {
  const waiting = (name: string, at: string, reason: string): Pod => {
    const pod = podOf({ state: { waiting: { reason } } });
    return { ...pod, metadata: { ...pod.metadata, name, creationTimestamp: at } };
  };
  const items = [
    waiting('older', '2026-01-01T00:00:00Z', 'ImagePullBackOff'),
    waiting('newer', '2026-01-01T00:05:00Z', 'CreateContainerConfigError'),
  ];
  expect(await whyPodsAreNotReady(apiOf({ '/pods?': { items } }), 'default', {})).toContain('Pod newer: Create');
});

test('the newest Warning is known by its series, its last time or its own time', () => {
  expect(
    newestWarning([
      warning('old', '2026-01-01T00:00:00Z'),
      { type: 'Warning', message: 'own time', eventTime: '2026-01-01T00:00:05Z', lastTimestamp: null },
      { type: 'Warning', message: 'series', eventTime: created, series: { lastObservedTime: '2026-01-01T00:00:09Z' } },
    ]),
  ).toBe('series');
  expect(newestWarning([])).toBeUndefined();
});

test('the telling line is on one line and has at most three hundred characters', () => {
  expect(tellingLine('\n')).toBeUndefined();
  expect(tellingLine('one\ntwo\n')).toBe('two');
  expect(tellingLine(`error: ${'x'.repeat(5000)}\n`)).toHaveLength(300);
});
